"""What every datamodule shares: folds, splits, loaders."""

import copy
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from augmentations.base import Augmentation, everything
from datamodules.blank import Blank
from datamodules.cache import DecodedCache
from datamodules.collate import collate_evaluation, collate_training
from datamodules.dataset import EvaluationDataset, TrainingDataset, derive
from datamodules.decoder import Decoder
from datamodules.external.base import ExternalData
from datamodules.file_check import check_classes, find_faults, refuse
from datamodules.quickstart import Generator
from datamodules.readers import ImageReader, Reader
from datamodules.samplers import EvaluationSampler, Order, TrainingSampler, rank_and_world
from datamodules.scenes import Scenes
from datamodules.table import find_images, ids_of, join_columns, read_csv, rows_of
from datamodules.targets import Labels, LongLabels, Target
from datamodules.windows import Windows
from evaluation.divide import TRAIN_ONLY
from evaluation.folds import CrossValidation, folds_hash, read_folds
from preprocessing.base import Preprocess
from preprocessing.files import confined
from preprocessing.hashes import pixel_hash

if TYPE_CHECKING:  # imported by the parser once a config names a transform; --help need not wait for it
    from albumentations import BaseCompose, BasicTransform


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
            loss, as `advval` writes it. Images that it does not list weigh what they did.
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
        repeats: training samples drawn from each image an epoch; above 1 where images are few or large.
        cache: decode every image and its truth once, in parallel, before training: `ram` keeps them in memory, `disk`
            in memory-mapped files that the next run and all ranks share; `none` decodes each time. With a mask file
            per object decoding costs more than training.
        cache_dir: folder of `cache: disk`; it may be deleted at any time.
        limit: take only that many images of each split, for a quick look.
        predict_split: what `predict` predicts: `val`, `test`, or folders of images. `test` is left out where the config
            names no test images.
        sample_submission: the competition's sample file under `root`.
        unreadable: what becomes of a test image whose file cannot be read: `refuse` stops; `empty` goes on with a
            warning that names the file, and predicts nothing: maps are 0 everywhere, there are no boxes, and labels are
            what the network says of a black picture. For a hidden test set, where one damaged file would cost the
            submission. Training images are never passed over.
        check_files: look at every file of training and validation once before `fit`, and tell all that is wrong with
            them at once. It costs what reading the truth costs, and the header of each image; a cache that holds them
            makes it needless.
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
        repeats: int = 1,
        cache: Literal["none", "ram", "disk"] = "none",
        cache_dir: str = "cache",
        limit: int | None = None,
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
        moving = [type(step).__name__ for step in self.preprocessing if step.changes_shape]
        if moving:
            raise ValueError(
                f"data.preprocessing: {moving[0]} changes the shape of images, but predictions have that of the file; "
                "run it once with `python cli.py prepare`, or set model.inference.size and resize in data.augmentation"
            )
        self.train_ids, self.test_ids, self.id_pattern = train_ids, test_ids, id_pattern
        self.metadata, self.test_metadata, self.id_column = metadata, test_metadata, id_column
        self.features, self.external = features or [], external or []
        twice = [data.source for data in self.external if [d.source for d in self.external].count(data.source) > 1]
        if twice:
            raise ValueError(f"data.external: two data sets have the source {twice[0]!r}")
        self.positives_only, self.weights = positives_only, weights
        self.folds, self.fold, self.val_images, self.windows = folds, fold, val_images, windows
        self.augmentation, self.sampler = augmentation or [], sampler
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.repeats, self.limit, self.seed = repeats, limit, seed
        self.cache, self.cache_dir, self.check_files = cache, cache_dir, check_files
        self.predict_split = predict_split if predict_split is not None else ["val", "test"]
        self.sample_submission, self.unreadable, self.generator = sample_submission, unreadable, generator
        self._tables: dict[str, pd.DataFrame] = {}
        self._skipped: dict[str, set[str]] = {}
        self._prepared = self._duplicates_checked = False
        self._outside: list[pd.DataFrame] | None = None
        self._decoded: Decoder | DecodedCache | None = None

    # --- what there is -----------------------------------------------------------------------------------------------

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        """The files under a folder as rows: `image_id, path, weight, source`, and more where a type needs it."""
        return find_images(root, pattern, source)

    def table(self) -> pd.DataFrame:
        """All training images; `given` tells those that the author's own split validates."""
        table = self.find(self.root, self.images, "train").assign(given=False)
        if self.val_images is not None:
            given = self.find(self.root, self.val_images, "train").assign(given=True)
            both = sorted(set(table["image_id"]) & set(given["image_id"]))
            if both:
                raise ValueError(
                    f"data.images and data.val_images share {len(both)} ids, {both[0]!r} first; give the "
                    "files ids of their own with {image_id} in the patterns"
                )
            table = pd.concat([table, given], ignore_index=True)
        return self.with_metadata(self._listed(table, self.train_ids, "data.train_ids"), self.metadata)

    def test_table(self) -> pd.DataFrame | None:
        """The images to submit; None where the config names none."""
        if self.test_images is None:
            return None
        table = self._listed(self.find(self.root, self.test_images, "test"), self.test_ids, "data.test_ids")
        return self.with_metadata(table, self.test_metadata)

    def _listed(self, table: pd.DataFrame, csv: str | None, key: str) -> pd.DataFrame:
        """The rows that a list names."""
        if csv is None:
            return table
        listed = set(ids_of(confined(self.root, csv), self.id_column, set(table["image_id"])))
        absent = sorted(listed - set(table["image_id"]))
        if absent:
            raise FileNotFoundError(
                f"{key}: {csv} lists {len(absent)} images without a file; the first is {absent[0]!r}. Take them "
                "out of the list, or look whether data.images and data.root say where they lie"
            )
        return table[table["image_id"].isin(listed)].reset_index(drop=True)

    def folder_table(self, folder: str) -> pd.DataFrame:
        """The images of a folder that `predict_split` names: those that look like the test (or training) images."""
        pattern = Path(self.test_images or self.images).name
        return self.find(
            folder, pattern if any(Path(folder).glob(re.sub(r"\{\w+\}", "*", pattern))) else "*", "predict"
        )

    def with_metadata(self, table: pd.DataFrame, files: str | list[str] | None) -> pd.DataFrame:
        """The table with the columns of the CSVs under the root that are named, and those of `id_pattern`."""
        if self.id_pattern is not None:
            parts = table["image_id"].str.extract(f"^{self.id_pattern}$")
            unlike = table["image_id"][parts.isna().all(axis=1)]
            if len(unlike):
                raise ValueError(f"data.id_pattern: {self.id_pattern!r} does not fit the id {unlike.iloc[0]!r}")
            table = table.assign(**{str(name): parts[name] for name in parts})
        for csv in [files] if isinstance(files, str) else files or []:
            table = join_columns(table, confined(self.root, csv), self.id_column)
        return table

    def prepare_data(self) -> None:
        if self.generator is not None and not Path(self.root).exists():
            self.generator.write(Path(self.root))
        verb = self.trainer.state.fn if self.trainer is not None else None
        if self.cache == "disk" and verb is not None and verb != "predict":
            self.setup(verb)  # one process decodes; the others then find it done

    def sample_submission_path(self) -> Path | None:
        """The competition's sample file, if the config names one."""
        return None if self.sample_submission is None else confined(self.root, self.sample_submission)

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        """The table with what the folds need of the pictures: `size`, and `pixels` to find duplicates."""
        table = self.table()
        if cv.stratify == "size" or cv.duplicates:
            images = (self.reader.read(row) for row in rows_of(table))
            facts = [(f"{image.shape[0]}x{image.shape[1]}", pixel_hash(image)) for image in images]
            table["size"], table["pixels"] = zip(*facts, strict=True)
        if cv.stratify == "area":
            table["area"] = [foreground_area(self.truth(row)) for row in rows_of(table)]
        return table

    def fold_assignment(self) -> pd.DataFrame:
        """The folds file, checked against the table.

        Raises:
            FileNotFoundError: says how to make it.
            ValueError: other ids than the table's, or a fold that is not in it.
        """
        if self.folds is None:
            raise ValueError("data.folds is not set; name the folds file, or train on everything with data.fold: all")
        folds = read_folds(self.folds)
        known, present = set(folds["image_id"]), set(self.table()["image_id"])
        if known != present:
            raise ValueError(
                f"{self.folds} and the images disagree: {len(present - known)} images are in no fold "
                f"{sorted(present - known)[:3]}, {len(known - present)} ids have no image "
                f"{sorted(known - present)[:3]}; "
                "make the folds again: python cli.py folds --config … --overwrite true"
            )
        if not folds.attrs["grouped"] and not self._duplicates_checked:
            self._check_duplicates(folds)
        numbers = sorted(set(folds["fold"]) - {TRAIN_ONLY})
        if self.fold not in numbers:
            raise ValueError(
                f"data.fold is {self.fold}, {self.folds} has folds {numbers}; take one of these, or make more: "
                "python cli.py folds --config … --cv.k N --overwrite true"
            )
        return folds

    def _check_duplicates(self, folds: pd.DataFrame) -> None:
        """Look for equal pixels in two folds where nobody has: a file of another origin, without groups."""
        fold = dict(zip(folds["image_id"], folds["fold"], strict=True))
        seen: dict[str, str] = {}
        for row in rows_of(self.table()):
            first = seen.setdefault(pixel_hash(self.reader.read(row)), row.image_id)
            if fold[first] != fold[row.image_id]:
                raise ValueError(
                    f"{self.folds}: images {first!r} (fold {fold[first]}) and {row.image_id!r} (fold "
                    f"{fold[row.image_id]}) have equal pixels, so validation would see what was trained on. Put them "
                    "into one fold, or say that you mean it with a `group` column"
                )
        self._duplicates_checked = True

    def folds_hash(self) -> str:
        """Hash of the assignment of images to folds; `all` and `given` need no file."""
        return self.fold if isinstance(self.fold, str) else folds_hash(read_folds(self.folds))

    def groups(self) -> dict[str, str]:
        """Image id -> group of the folds file."""
        if self.folds is None or not Path(self.folds).is_file():
            return {}
        folds = read_folds(self.folds)
        return dict(zip(folds["image_id"], folds["group"], strict=True))

    def split_table(self, split: str) -> pd.DataFrame:
        """Rows of `train`, `val`, `test`, or of a folder of images."""
        if split not in self._tables:
            self._tables[split] = self._make_split(split)
        return self._tables[split]

    def _make_split(self, split: str) -> pd.DataFrame:
        if split in ("train", "val"):
            table = self.table()
            if self.fold == "all":
                table = table if split == "train" else table.iloc[:0]
            else:
                held = self._held(table)
                # What is not the competition's own (external, pseudo-labelled) is trained on and never validated.
                own = table["source"] == "train"
                table = table[held & own] if split == "val" else table[~held]
            if split == "train" and self.external:
                table = pd.concat([table, *self._external_tables()], ignore_index=True)
            if split == "train" and self.positives_only:
                table = table[self._positive(table, "data.positives_only")]
            if split == "train" and self.weights is not None:
                table = table.assign(weight=table["weight"] * self._weights(table))
        elif split == "test":
            test = self.test_table()
            if test is None:
                raise ValueError("there are no test images: data.test_images is not set")
            table = test
        else:
            table = self.folder_table(split)
        return table.iloc[: self.limit].reset_index(drop=True)

    def _weights(self, table: pd.DataFrame) -> np.ndarray:
        """Factor of each row in the loss, from `data.weights`."""
        path = Path(self.weights) if Path(self.weights).is_file() else confined(self.root, self.weights)
        if not path.is_file():
            raise FileNotFoundError(f"data.weights: no file {path}")
        given = read_csv(path)
        if not {"image_id", "weight"} <= set(given.columns):
            raise ValueError(
                f"data.weights: {path} has the columns {list(given.columns)}, expected image_id and weight"
            )
        values = pd.to_numeric(given["weight"], errors="coerce")
        wrong = given["image_id"][~(values >= 0) | np.isinf(values)]
        if len(wrong):
            raise ValueError(f"data.weights: {path} gives {wrong.iloc[0]!r} no weight of 0 or more")
        known = dict(zip(given["image_id"], values, strict=True))
        if not known.keys() & set(table["image_id"]):
            raise ValueError(
                f"data.weights: {path} lists none of the training images, as {table['image_id'].iloc[0]!r}"
            )
        return np.array([known.get(image_id, 1.0) for image_id in table["image_id"]])

    def _positive(self, table: pd.DataFrame, key: str) -> list[bool]:
        """Which rows have a mask with something in it."""
        self.prepare_targets()
        decoder = self._decoder(self.targets, external=True)
        found = [foreground_area(decoder.truth(row), key) > 0 for row in rows_of(table)]
        if not any(found):
            raise ValueError(f"{key}: none of {len(table)} training images has anything in its mask")
        return found

    def _held(self, table: pd.DataFrame) -> pd.Series:
        """Which rows the fold holds out."""
        if self.fold != "given":
            return table["image_id"].map(self.fold_assignment().set_index("image_id")["fold"]) == self.fold
        if self.val_images is None:
            raise ValueError("data.fold is given, but data.val_images does not say which images the author validates")
        for leak in self.leaks(table):
            warnings.warn(f"data.fold given: {leak}; the score will be too good", stacklevel=2)
        return table["given"]

    def leaks(self, table: pd.DataFrame) -> list[str]:
        """What the author's own split shares between its sides, a sentence each; a type may know more."""
        sides: dict[str, set[bool]] = {}
        for row in rows_of(table):
            sides.setdefault(pixel_hash(self.reader.read(row)), set()).add(row.given)
        shared = sum(len(both) > 1 for both in sides.values())
        return [f"{shared} images have equal pixels on both sides"] if shared else []

    def sizes(self, split: str) -> dict[str, tuple[int, int]]:
        """`(H, W)` of every image of a split, from the files' headers."""
        rows = rows_of(self.split_table(split))
        if self.unreadable == "empty" and split not in ("train", "val"):
            blank = Blank(self._decoder([]), rows)
            return {row.image_id: blank.size(row) for row in rows}
        return {row.image_id: self.reader.size(row) for row in rows}

    def truth(self, row: Any) -> dict[str, np.ndarray]:
        """Target arrays of a row at the image's size, as validation sees them."""
        self.prepare_targets()
        _, arrays = self._decoder(self.targets).read(row)
        return derive(for_evaluation(self.targets), arrays)

    def target_arrays(self, row: Any) -> dict[str, np.ndarray]:
        """Target arrays of a row as they are read, without the image; what is derived from them is left out."""
        return self._decoder(self.targets).truth(row)

    def prepare_targets(self) -> None:
        """Let the targets read their tables and report what is missing, once."""
        if not self._prepared:
            table = self.table()
            for target in self.targets:
                target.prepare(table, Path(self.root))
            self._prepared = True

    def _others(self) -> dict[str, tuple[Reader, list[Target]]]:
        """Reader and prepared targets of each external data set."""
        others = {}
        for data, table in zip(self.external, self._external_tables(), strict=True):
            targets = copy.deepcopy(self.targets if data.targets is None else data.targets)
            reader = data.reader or self.reader
            for target in targets:
                if data.targets is None:
                    target.from_columns(list(table.columns))
                target.follow(reader)
                target.prepare(table, Path(data.root))
            others[data.source] = reader, targets
        return others

    def _external_tables(self) -> list[pd.DataFrame]:
        if self._outside is None:
            self._outside = [data.table() for data in self.external]
        return self._outside

    # --- Lightning ---------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        if stage == "predict":
            return
        if stage == "test":
            self._prepare_test_targets()
            self._decoded = self._decode(["test"], self.test_targets)
        else:
            self.prepare_targets()
            self._decoded = self._decode(["train", "val"] if stage == "fit" else ["val"], self.targets, stage == "fit")
        if stage == "fit":
            device = getattr(self.trainer.lightning_module, "augmentation", []) if self.trainer is not None else []
            for step in everything([*self.augmentation, *device]):
                if isinstance(step, Augmentation):
                    step.prepare(self.training_labels)

    def training_labels(self, name: str) -> dict[str, np.ndarray]:
        """The value of an image-level target for each training image of this fold, by image id.

        Raises:
            ValueError: no target has this name.
        """
        self.prepare_targets()
        others = self._others() if self.external else {}
        targets_of = {"": self.targets} | {source: targets for source, (_, targets) in others.items()}
        own = {
            source: next((t for t in targets if isinstance(t, Labels | LongLabels) and t.name == name), None)
            for source, targets in targets_of.items()
        }
        lacking = next((source for source, target in own.items() if target is None), None)
        if lacking is not None:
            where = f"the external set {lacking!r}" if lacking else "data.targets"
            raise ValueError(
                f"{where} has no target {name!r} of datamodules.targets.Labels or LongLabels: the classes of an image"
            )
        rows = rows_of(self.split_table("train"))
        # Labels stand in tables: no image is opened to ask for its size.
        return {row.image_id: own.get(row.source, own[""]).read(row, (0, 0))[name] for row in rows}

    def _prepare_test_targets(self) -> None:
        if not self.test_targets:
            raise ValueError(
                "the truth of the test images is not known: data.test_targets is not set. `validate` scores the "
                "validation fold"
            )
        table = self.split_table("test")
        for target in self.test_targets:
            target.prepare(table, Path(self.root))

    def _decoder(self, targets: list[Target], external: bool = False) -> Decoder:
        return Decoder(self.reader, targets, self.preprocessing, self._others() if external else None)

    def _decode(self, splits: list[str], targets: list[Target], external: bool = False) -> Decoder | DecodedCache:
        tables = [self.split_table(split) for split in splits]
        decoder = self._decoder(targets, external)
        look = external and self.check_files
        if self.cache == "none":
            if look:
                self._look_at_files(decoder, together=True)
                check_classes(self._own_rows(), decoder)
            return decoder
        folder = Path(self.cache_dir) if self.cache == "disk" else None
        cache = DecodedCache(decoder, folder, self._workers())
        try:
            cache.build(pd.concat(tables, ignore_index=True), show=rank_and_world()[0] == 0)
        except (ValueError, OSError):
            if look:
                self._look_at_files(decoder, together=False)  # which names the other faulty files too
            raise
        if look:
            check_classes(self._own_rows(), decoder)
        return cache

    def _own_rows(self) -> list[Any]:
        """The competition's own rows of training and validation."""
        rows = [row for split in ("train", "val") for row in rows_of(self.split_table(split))]
        return [row for row in rows if row.source == "train"]

    def _look_at_files(self, decoder: Decoder, together: bool) -> None:
        """Raise where files of training or validation are faulty.

        Args:
            decoder: would read them.
            together: every rank is here, takes its share and learns what the others have found.
        """
        rows = [row for split in ("train", "val") for row in rows_of(self.split_table(split))]
        rank, world = rank_and_world() if together else (0, 1)
        faults = find_faults(rows[rank::world], decoder, self.windows is not None, self._workers(), show=rank == 0)
        if world > 1:
            shares: list[list[str]] = [[] for _ in range(world)]
            torch.distributed.all_gather_object(shares, faults)
            faults = [fault for share in shares for fault in share]
        refuse(faults, len(rows))

    def train_dataloader(self) -> DataLoader:
        table = self.split_table("train")
        dataset = TrainingDataset(table, self._decoded, self.targets, self.augmentation, self.features, self.windows)
        if self.windows is not None:
            decoder = self._decoder(self.targets, external=True)
            self.windows.prepare(dataset.rows, decoder.size, decoder.truth)
        if self.sampler is not None:
            if self.windows is not None:
                raise ValueError("data.sampler draws whole images, data.windows parts of them; leave one out")
            known = (
                table.assign(positive=self._positive(table, "data.sampler")) if self.sampler.wants_positive else table
            )
            self.sampler.prepare(known)
            factors = self.sampler.weights()
            if factors is not None:
                dataset.weigh(factors)
        sampler = TrainingSampler(len(dataset), self.repeats, self.seed, self.sampler, self.batch_size)
        sampler.set_epoch(next_epoch(self.trainer))
        # A lone last sample would stop batch norm ("expected more than 1 value per channel").
        drop_last = len(sampler) % self.batch_size == 1 and len(sampler) > 1
        return self._loader(dataset, sampler, self.batch_size, collate_training, drop_last=drop_last)

    def val_dataloader(self) -> DataLoader | list:
        return [] if self.fold == "all" else self._evaluation(self.split_table("val"), self._decoded, self.targets)

    def test_dataloader(self) -> DataLoader:
        return self._evaluation(self.split_table("test"), self._decoded, self.test_targets)

    def predict_dataloader(self) -> list[DataLoader]:
        loaders = []
        for split in self.predict_splits():
            table = self.split_table(split)
            left = table[~table["image_id"].isin(self._skipped.get(split, set()))]
            source = self._decoder([])
            blank = Blank(source, rows_of(table)) if self.unreadable == "empty" and split != "val" else None
            loaders.append(self._evaluation(left, source, [], blank, self._scenes(source, blank)))
        return loaders

    def _scenes(self, decoder: Decoder, blank: Blank | None) -> Scenes | None:
        """What leaves pictures in their files that the module predicts strip by strip."""
        large = getattr(self.trainer.lightning_module, "streams", None) if self.trainer is not None else None
        # A step of preprocessing may look at a picture as a whole.
        by_windows = self.reader.windowed and not self.preprocessing
        return Scenes(decoder, large, blank) if large is not None and by_windows else None

    def predict_splits(self) -> list[str]:
        """Names of the splits that `predict` predicts, in the order of its loaders."""
        absent = {"test"} if "test" in self.predict_split and self.test_table() is None else set()
        absent |= {"val"} if self.fold == "all" else set()
        return [split for split in self.predict_split if split not in absent]

    def predict_ids(self, split: str) -> list[str]:
        """Every image of a split, predicted or not."""
        return self.split_table(split)["image_id"].tolist()

    def skip(self, split: str, image_ids: Sequence[str]) -> None:
        """Leave out images that are predicted already."""
        self._skipped[split] = set(image_ids)

    def _evaluation(
        self,
        table: pd.DataFrame,
        source: Decoder | DecodedCache,
        targets: list[Target],
        blank: Blank | None = None,
        scenes: Scenes | None = None,
    ) -> DataLoader:
        dataset = EvaluationDataset(table, source, for_evaluation(targets), self.features, blank, scenes)
        return self._loader(dataset, EvaluationSampler(len(dataset)), self.eval_batch_size, collate_evaluation)

    def _loader(self, dataset: Any, sampler: Any, batch_size: int, collate: Any, drop_last: bool = False) -> DataLoader:
        workers = self._workers() if len(dataset) else 0
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=workers,
            drop_last=drop_last,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
        )

    def _workers(self) -> int:
        if self.num_workers != "auto":
            return self.num_workers
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return 0 if cpus == 1 else min(8, cpus)


def for_evaluation(targets: list[Target]) -> list[Target]:
    """The targets that validation and the score look at."""
    return [target for target in targets if not target.training_only]


def next_epoch(trainer: pl.Trainer | None) -> int:
    """The epoch that is drawn next: workers begin with it before Lightning tells the sampler, also after a resume."""
    if trainer is None:
        return 0
    loop = trainer.fit_loop
    progress = loop.epoch_progress.current
    # A checkpoint from the validation at the end of an epoch: that epoch is drawn already.
    ended = loop.epoch_loop.batch_progress.is_last_batch and progress.processed < progress.ready
    return progress.processed + int(ended)


def foreground_area(arrays: dict[str, np.ndarray], wanted_by: str = "cv.stratify: area") -> int:
    """Pixels above 0 of the first spatial target."""
    spatial = next((array for array in arrays.values() if array.ndim >= 2), None)
    if spatial is None:
        raise ValueError(f"{wanted_by} looks at masks, but the config has no target with pixels")
    return int(np.count_nonzero(spatial))


def _one_thread(worker: int) -> None:
    # One process per CPU already; cv2's own threads would only fight over them.
    cv2.setNumThreads(0)
