"""The base class of datamodules: a LightningDataModule around tables and targets."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from augmentations.base import Augmentation, flatten_steps
from datamodules.cache import DecodedCache
from datamodules.dataset import EvaluationDataset, TrainingDataset
from datamodules.decoder import Decoder
from datamodules.lazy_images import left_in_files
from datamodules.loaders import evaluation_loader, next_batch, training_loader, worker_count
from datamodules.loading import Loading
from datamodules.plain.base import BaseData
from datamodules.same_pixels import check_pixels
from datamodules.samplers import TrainingSampler
from datamodules.source import source_of
from datamodules.table import rows_of
from datamodules.target_sources import for_evaluation, prepare_test_targets
from datamodules.targets import Target
from datamodules.unreadable import UnreadableFallback

SPLITS = {"fit": ["train", "val"], "validate": ["val"], "test": ["test"]}  # used by each verb except `predict`


class BaseDataModule(BaseData, Loading, pl.LightningDataModule):
    """Images with targets, in folds, as batches. Subclasses define in `find()` how files become rows.

    Files, tables, folds and targets are handled by `datamodules.plain.BaseData`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._skipped: dict[str, set[str]] = {}
        self._decoded: Decoder | DecodedCache | None = None

    def prepare_data(self) -> None:
        super().prepare_data()
        verb = self.trainer.state.fn if self.trainer is not None else None
        if self.cache == "disk" and verb is not None and verb != "predict":
            self.setup(verb)  # one process decodes, the others use its cache

    def setup(self, stage: str) -> None:
        if stage == "test":
            prepare_test_targets(self.test_targets, partial(self.split_table, "test"), self.root)
        elif stage != "predict":
            self.prepare_targets()
        splits = self.predict_splits() if stage == "predict" else SPLITS[stage]
        if self.check_files:
            later = ["test"] if stage == "fit" and self.test_images is not None else []
            model = getattr(self.trainer, "lightning_module", None)
            check_pixels(
                self.split_table, splits, later, self._sources.readers(), worker_count(self.num_workers), model
            )
        if stage != "predict":
            targets = self.test_targets if stage == "test" else self.targets
            self._decoded = self._decode(splits, targets, stage == "fit")
        if stage == "fit":
            device = getattr(self.trainer.lightning_module, "augmentation", []) if self.trainer is not None else []
            for step in flatten_steps([*self.augmentation, *device]):
                if isinstance(step, Augmentation):
                    step.prepare(self.training_labels)

    def _decode(self, splits: list[str], targets: list[Target], external: bool = False) -> Decoder | DecodedCache:
        return source_of(
            [self.split_table(split) for split in splits],
            self._decoder(targets, external),
            cached=self.cache != "none",
            folder=Path(self.cache_dir) if self.cache == "disk" else None,
            workers=worker_count(self.num_workers),
            look=external and self.check_files,
            by_windows=self.windows is not None,
        )

    def train_dataloader(self) -> DataLoader:
        table = self.split_table("train")
        dataset = TrainingDataset(table, self._decoded, self.targets, self.augmentation, self.features, self.windows)
        if self.windows is not None:
            decoder = self._decoder(self.targets, external=True)
            self.windows.prepare(dataset.rows, decoder.size, decoder.target_arrays)
        if self.sampler is not None:
            if self.windows is not None:
                raise ValueError("data.sampler draws whole images, data.windows parts of images; remove one of them")
            if self.sampler.wants_positive:
                table = table.assign(positive=self._positive(table, "data.sampler"))
            self.sampler.prepare(table)
            factors = self.sampler.weights()
            if factors is not None:
                dataset.weigh(factors)
        sampler = TrainingSampler(len(dataset), self.samples_per_image, self.seed, self.sampler, self.batch_size)
        epoch, batches = next_batch(self.trainer)
        sampler.set_epoch(epoch)
        sampler.leave_out(epoch, batches * self.batch_size)
        return training_loader(dataset, sampler, self.batch_size, worker_count(self.num_workers))

    def val_dataloader(self) -> DataLoader | list:
        return [] if self.fold == "all" else self._evaluation("val", self._decoded, self.targets)

    def test_dataloader(self) -> DataLoader:
        return self._evaluation("test", self._decoded, self.test_targets)

    def predict_dataloader(self) -> list[DataLoader]:
        streams = getattr(self.trainer.lightning_module, "streams", None) if self.trainer is not None else None
        loaders = []
        for split in self.predict_splits():
            table = self.split_table(split)
            left = table[~table["image_id"].isin(self._skipped.get(split, set()))]
            source = self._decoder([])
            lenient = self.unreadable == "empty" and split != "val"
            fallback = UnreadableFallback(source, rows_of(table)) if lenient else None
            lazy = left_in_files(source, streams, fallback)
            dataset = EvaluationDataset(left, source, [], self.features, fallback, lazy)
            loaders.append(evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers)))
        return loaders

    def skip(self, split: str, image_ids: Sequence[str]) -> None:
        """Skip images that are already predicted."""
        self._skipped[split] = set(image_ids)

    def _evaluation(self, split: str, source: Decoder | DecodedCache, targets: list[Target]) -> DataLoader:
        dataset = EvaluationDataset(self.split_table(split), source, for_evaluation(targets), self.features)
        return evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers))
