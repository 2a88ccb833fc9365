"""What every datamodule shares: a shell around tables, truth and loaders."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from augmentations.base import Augmentation, flatten_steps
from datamodules.blank import Blank
from datamodules.cache import DecodedCache
from datamodules.dataset import EvaluationDataset, TrainingDataset
from datamodules.decoder import Decoder
from datamodules.external.base import ExternalData
from datamodules.inputs import inputs_of
from datamodules.loaders import evaluation_loader, next_epoch, training_loader, worker_count
from datamodules.metadata import described, listed, loss_weights
from datamodules.quickstart import Generator
from datamodules.readers import ImageReader, Reader
from datamodules.same_pixels import check_pixels
from datamodules.samplers import Order, TrainingSampler
from datamodules.scenes import left_in_files
from datamodules.source import source_of
from datamodules.splits import held_by_author, held_by_folds, shared_pixels, with_given, with_pixels
from datamodules.table import find_images, pattern_in, rows_of
from datamodules.targets import Target
from datamodules.truth import Truth, for_evaluation, foreground_area, prepare_test_targets
from datamodules.windows import Windows
from evaluation.cross_validation import CrossValidation
from evaluation.folds import folds_hash, groups_of, read_folds
from files.paths import confined
from preprocessing.base import Preprocess
from preprocessing.sources import Inputs

if TYPE_CHECKING:  # imported by the parser once a config names a transform; --help need not wait for it
    from albumentations import BaseCompose, BasicTransform

SPLITS = {"fit": ["train", "val"], "validate": ["val"], "test": ["test"]}  # that a verb looks at, but `predict`


class BaseDataModule(pl.LightningDataModule):
    """Images with targets, in folds. A subclass says how files become rows: `find()`.

    Args:
        root: folder of the competition's files.
        images: glob under `root` of the training images: `stage1_train/*/images/*.png`.
        test_images: glob under `root` of the images to submit.
        val_images: glob under `root` of the validation images of the author's own split, for `fold: given`. They are
            training images for every other fold.
        targets: sources of truth and what is derived from them, in order.
        test_targets: the same for the test images, where their truth is known (a finished competition, a held-back
            set); `test` scores them.
        reader: how images are read; the reader of this type of data unless given (of pictures: as RGB).
        preprocessing: steps that every image goes through after it is read, in training and prediction alike (once,
            where there is a cache): `preprocessing.Clahe`, `preprocessing.RemoveHaze`. Steps that change an image's
            shape belong to `prepare`, or to `model.inference.size`.
        train_ids: CSV under `root` whose `id_column` lists the training images, where one folder holds them beside
            others (DSTL); the rest of what `images` matches is left out.
        test_ids: the same for the test images: often the sample submission.
        id_pattern: regular expression with named groups that takes columns from the image id:
            `(?P<car>[^_]+)_[0-9]+` gives `car`, to group folds by.
        metadata: CSV (or several) under `root` with more about the training images; the columns serve `cv.group`,
            `cv.stratify` and `features`.
        test_metadata: the same for the test images; needed for `features` alone.
        id_column: column of the image id in these CSVs.
        features: numeric columns that enter each sample as `features` `(F,)`, for a network with
            `model.inputs: [image, features]`.
        external: data sets from elsewhere, trained on in every fold and never validated (`datamodules.external`); those
            without targets of their own use these, on their own root and columns.
        positives_only: train only on images whose mask is not empty; validation keeps all. SIIM's 8th place trained so
            with soft Dice, and took whether there is anything from another network.
        weights: CSV under `root` (or a path) with `image_id` and `weight`: the factor of each training image in the
            loss, as `adversarial` writes it. Images that it does not list weigh what they did.
        folds: folds file; `folds/<config name>.csv` unless given.
        fold: the fold that is validated, `all` to train on everything without validation, or `given` to validate the
            author's own split (`val_images`); what leaks between its sides is said.
        windows: which part of an image each training sample is cut from, for images too large to be read whole; files
            are not touched. Whole images unless given.
        augmentation: for training, in order, in the loader's workers: transforms of albumentations and of
            `torchvision.transforms.v2`, and our own (`augmentations.Geometry`, `Colour`, `TimmPolicy`, …). They must
            end in one size: a crop.
        sampler: what an epoch draws, where it is not every image in random order (`datamodules.samplers`).
        batch_size: training samples in a batch, on each rank.
        eval_batch_size: images in an evaluation batch; images of any sizes are predicted one after the other.
        num_workers: loader processes; `auto` is one per CPU of this process up to 8, none on a single CPU.
        samples_per_image: training samples drawn from each image an epoch; above 1 where images are few or large.
        cache: decode every image and its truth once, in parallel, before training: `ram` keeps them in memory, `disk`
            in memory-mapped files that the next run and all ranks share; `none` decodes each time. With a mask file
            per object decoding costs more than training.
        cache_dir: folder of `cache: disk`; it may be deleted at any time.
        max_images: take only that many images of each split, for a quick look.
        predict_split: what `predict` predicts: `val`, `test`, or folders of images. `test` is left out where the config
            names no test images.
        sample_submission: the competition's sample file under `root`.
        unreadable: what becomes of a test image whose file cannot be read: `refuse` stops; `empty` goes on with a
            warning that names the file, and predicts nothing: maps are 0 everywhere, there are no boxes, and labels are
            what the network says of a black picture. For a hidden test set, where one damaged file would cost the
            submission. Training images are never passed over.
        check_files: look at every file of training and validation once before `fit`, and tell all that is wrong with
            them at once. It costs what reading the truth costs, and the header of each image; a cache that holds them
            makes it needless. Pictures of several depths or numbers of channels are refused, also before `predict`.
        seed: of the order and augmentation of training samples.
        generator: makes the files when `root` does not exist.
    """

    default_reader: type[Reader] = ImageReader

    def __init__(
        self,
        root: str,
        images: str,
        targets: list[Target],
        test_images: str | None = None,
        val_images: str | None = None,
        test_targets: list[Target] | None = None,
        reader: Reader | None = None,
        preprocessing: list[Preprocess] | None = None,
        train_ids: str | None = None,
        test_ids: str | None = None,
        id_pattern: str | None = None,
        metadata: str | list[str] | None = None,
        test_metadata: str | list[str] | None = None,
        id_column: str = "image_id",
        features: list[str] | None = None,
        external: list[ExternalData] | None = None,
        positives_only: bool = False,
        weights: str | None = None,
        folds: str | None = None,
        fold: int | Literal["all", "given"] = 0,
        windows: Windows | None = None,
        augmentation: "list[BasicTransform | BaseCompose | torch.nn.Module | Augmentation] | None" = None,
        sampler: Order | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 1,
        num_workers: int | Literal["auto"] = "auto",
        samples_per_image: int = 1,
        cache: Literal["none", "ram", "disk"] = "none",
        cache_dir: str = "cache",
        max_images: int | None = None,
        predict_split: list[str] | None = None,
        sample_submission: str | None = None,
        unreadable: Literal["refuse", "empty"] = "refuse",
        check_files: bool = True,
        seed: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.root, self.images, self.test_images = root, images, test_images
        self.targets, self.test_targets, self.reader = targets, test_targets or [], reader or self.default_reader()
        self.preprocessing = preprocessing or []
        self.train_ids, self.test_ids, self.id_pattern = train_ids, test_ids, id_pattern
        self.metadata, self.test_metadata, self.id_column = metadata, test_metadata, id_column
        self.features, self.external = features or [], external or []
        self.positives_only, self.weights = positives_only, weights
        self.folds, self.fold, self.val_images, self.windows = folds, fold, val_images, windows
        self.augmentation, self.sampler = augmentation or [], sampler
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.samples_per_image, self.max_images, self.seed = samples_per_image, max_images, seed
        self.cache, self.cache_dir, self.check_files = cache, cache_dir, check_files
        self.predict_split = predict_split if predict_split is not None else ["val", "test"]
        self.sample_submission, self.unreadable, self.generator = sample_submission, unreadable, generator
        self._truth = Truth(self.root, self.reader, self.targets, self.preprocessing, self.external)
        self._tables: dict[str, pd.DataFrame] = {}
        self._skipped: dict[str, set[str]] = {}
        self._duplicates_checked = False
        self._decoded: Decoder | DecodedCache | None = None

    # --- what there is -----------------------------------------------------------------------------------------------

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        """The files under a folder as rows: `image_id, path, weight, source`, and more where a type needs it."""
        return find_images(root, pattern, source)

    def table(self) -> pd.DataFrame:
        """All training images; `given` tells those that the author's own split validates."""
        table = self.find(self.root, self.images, "train").assign(given=False)
        if self.val_images is not None:
            table = with_given(table, self.find(self.root, self.val_images, "train"))
        return self._described(table, "data.train_ids", self.train_ids, self.metadata)

    def test_table(self) -> pd.DataFrame | None:
        """The images to submit; None where the config names none."""
        if self.test_images is None:
            return None
        table = self.find(self.root, self.test_images, "test")
        return self._described(table, "data.test_ids", self.test_ids, self.test_metadata)

    def folder_table(self, folder: str) -> pd.DataFrame:
        """The images of a folder that `predict_split` names: those that look like the test (or training) images."""
        return self.find(folder, pattern_in(folder, self.test_images or self.images), "predict")

    def _described(self, table: pd.DataFrame, key: str, ids: str | None, files: str | list[str] | None) -> pd.DataFrame:
        """The rows that the list under this key names, with what CSVs and their own ids say about them."""
        table = listed(table, self.root, ids, self.id_column, key)
        return described(table, self.root, files, self.id_column, self.id_pattern)

    def sample_submission_path(self) -> Path | None:
        """The competition's sample file, if the config names one."""
        return None if self.sample_submission is None else confined(self.root, self.sample_submission)

    def split_table(self, split: str) -> pd.DataFrame:
        """Rows of `train`, `val`, `test`, or of a folder of images."""
        if split not in self._tables:
            self._tables[split] = self._make_split(split)
        return self._tables[split]

    def _make_split(self, split: str) -> pd.DataFrame:
        if split in ("train", "val"):
            table = self.table()
            held = self._held(table)
            # What is not the competition's own (external, pseudo-labelled) is trained on and never validated.
            table = table[held & (table["source"] == "train")] if split == "val" else table[~held]
            if split == "train" and self.external:
                table = pd.concat([table, *self._truth.external_tables()], ignore_index=True)
            if split == "train" and self.positives_only:
                table = table[self._positive(table, "data.positives_only")]
            if split == "train" and self.weights is not None:
                table = table.assign(weight=table["weight"] * loss_weights(table, self.root, self.weights))
        elif split == "test":
            table = self.test_table()
            if table is None:
                raise ValueError("there are no test images: data.test_images is not set")
        else:
            table = self.folder_table(split)
        return table.iloc[: self.max_images].reset_index(drop=True)

    def sizes(self, split: str) -> dict[str, tuple[int, int]]:
        """`(H, W)` of every image of a split, from the files' headers."""
        rows = rows_of(self.split_table(split))
        lenient = self.unreadable == "empty" and split not in ("train", "val")
        source = Blank(self._decoder([]), rows) if lenient else self.reader
        return {row.image_id: source.size(row) for row in rows}

    # --- folds -------------------------------------------------------------------------------------------------------

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        """The table with what the folds need of the pictures: `size`, and `pixels` to find duplicates."""
        table = self.table()
        if cv.stratify == "size" or cv.duplicates:
            table = with_pixels(table, self.reader)
        if cv.stratify == "area":
            table["area"] = [foreground_area(self.truth(row)) for row in rows_of(table)]
        return table

    def folds_hash(self) -> str:
        """Hash of the assignment of images to folds; `all` and `given` need no file."""
        return self.fold if isinstance(self.fold, str) else folds_hash(read_folds(self.folds))

    def groups(self) -> dict[str, str]:
        """Image id -> group of the folds file."""
        return groups_of(self.folds)

    def leaks(self, table: pd.DataFrame) -> list[str]:
        """What the author's own split shares between its sides, a sentence each; a type may know more."""
        return shared_pixels(table, self.reader)

    def _held(self, table: pd.DataFrame) -> pd.Series:
        """Which rows the fold holds out."""
        if self.fold == "all":
            return pd.Series(False, table.index)
        if self.fold == "given":
            return held_by_author(table, self.val_images, self.leaks)
        held = held_by_folds(table, self.folds, self.fold, None if self._duplicates_checked else self.reader)
        self._duplicates_checked = True
        return held

    # --- truth -------------------------------------------------------------------------------------------------------

    def truth(self, row: Any) -> dict[str, np.ndarray]:
        """Target arrays of a row at the image's size, as validation sees them."""
        self.prepare_targets()
        return self._truth.of(row)

    def target_arrays(self, row: Any) -> dict[str, np.ndarray]:
        """Target arrays of a row as they are read, without the image; what is derived from them is left out."""
        return self._decoder(self.targets).truth(row)

    def prepare_targets(self) -> None:
        """Let the targets read their tables and report what is missing, once."""
        self._truth.prepare(self.table)

    def training_labels(self, name: str) -> dict[str, np.ndarray]:
        """The value of an image-level target for each training image of this fold, by image id.

        Raises:
            ValueError: no target has this name.
        """
        self.prepare_targets()
        own = self._truth.labels(name)
        rows = rows_of(self.split_table("train"))
        # Labels stand in tables: no image is opened to ask for its size.
        return {row.image_id: own.get(row.source, own[""]).read(row, (0, 0))[name] for row in rows}

    def _positive(self, table: pd.DataFrame, key: str) -> list[bool]:
        """Which rows have a mask with something in it."""
        self.prepare_targets()
        return self._truth.has_foreground(rows_of(table), key)

    def _decoder(self, targets: list[Target], external: bool = False) -> Decoder:
        return self._truth.decoder(targets, external)

    # --- Lightning ---------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        if self.generator is not None and not Path(self.root).exists():
            self.generator.write(Path(self.root))
        verb = self.trainer.state.fn if self.trainer is not None else None
        if self.cache == "disk" and verb is not None and verb != "predict":
            self.setup(verb)  # one process decodes; the others then find it done

    def setup(self, stage: str) -> None:
        if stage == "test":
            prepare_test_targets(self.test_targets, partial(self.split_table, "test"), self.root)
        elif stage != "predict":
            self.prepare_targets()
        splits = self.predict_splits() if stage == "predict" else SPLITS[stage]
        if self.check_files:
            later = ["test"] if stage == "fit" and self.test_images is not None else []
            model = getattr(self.trainer, "lightning_module", None)
            check_pixels(self.split_table, splits, later, self._truth.readers(), worker_count(self.num_workers), model)
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
            self.windows.prepare(dataset.rows, decoder.size, decoder.truth)
        if self.sampler is not None:
            if self.windows is not None:
                raise ValueError("data.sampler draws whole images, data.windows parts of them; leave one out")
            if self.sampler.wants_positive:
                table = table.assign(positive=self._positive(table, "data.sampler"))
            self.sampler.prepare(table)
            factors = self.sampler.weights()
            if factors is not None:
                dataset.weigh(factors)
        sampler = TrainingSampler(len(dataset), self.samples_per_image, self.seed, self.sampler, self.batch_size)
        sampler.set_epoch(next_epoch(self.trainer))
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
            blank = Blank(source, rows_of(table)) if self.unreadable == "empty" and split != "val" else None
            scenes = left_in_files(source, streams, blank)
            dataset = EvaluationDataset(left, source, [], self.features, blank, scenes)
            loaders.append(evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers)))
        return loaders

    def predict_splits(self) -> list[str]:
        """Names of the splits that `predict` predicts, in the order of its loaders."""
        absent = {"test"} if "test" in self.predict_split and self.test_table() is None else set()
        absent |= {"val"} if self.fold == "all" else set()
        return [split for split in self.predict_split if split not in absent]

    def predict_ids(self, split: str) -> list[str]:
        """Every image of a split, predicted or not."""
        return self.split_table(split)["image_id"].tolist()

    def predict_inputs(self, split: str) -> dict[str, Inputs]:
        """What each image of a split is predicted from, by its id; `train` is every training image."""
        return inputs_of(self.table() if split == "train" else self.split_table(split), self.reader, self.features)

    def skip(self, split: str, image_ids: Sequence[str]) -> None:
        """Leave out images that are predicted already."""
        self._skipped[split] = set(image_ids)

    def _evaluation(self, split: str, source: Decoder | DecodedCache, targets: list[Target]) -> DataLoader:
        dataset = EvaluationDataset(self.split_table(split), source, for_evaluation(targets), self.features)
        return evaluation_loader(dataset, self.eval_batch_size, worker_count(self.num_workers))
