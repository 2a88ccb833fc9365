"""The base class of data sets: images with targets, in folds, without torch or Lightning."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from datamodules.decoder import Decoder
from datamodules.external.base import ExternalData
from datamodules.inputs import inputs_of
from datamodules.loading import Loading
from datamodules.metadata import described, listed, loss_weights
from datamodules.quickstart import Generator
from datamodules.readers import ImageReader, Reader
from datamodules.row import Row
from datamodules.splits import held_by_author, held_by_folds, shared_pixels, with_given, with_pixels
from datamodules.table import find_images, pattern_in, rows_of
from datamodules.target_sources import TargetSources, agreed_names, foreground_area, name_classes
from datamodules.targets import Target
from datamodules.unreadable import UnreadableFallback
from evaluation.cross_validation import CrossValidation
from evaluation.folds import folds_hash, groups_of, read_folds
from files.paths import confined
from preprocessing.base import Preprocess
from preprocessing.sources import Inputs


class BaseData:
    """Images with targets, in folds. Subclasses define in `find()` how files become rows.

    It serves all verbs that work on files alone: folds, scores, search, submissions. Training and prediction use the
    LightningDataModule built on it, `BaseDataModule`.

    Args:
        root: folder of the competition's files.
        images: glob of the training images under `root`: `stage1_train/*/images/*.png`.
        test_images: glob of the test images under `root`.
        val_images: glob under `root` of the validation images of the author's own split, for `fold: given`. For every
            other fold they are training images.
        targets: targets, read from files or derived from other targets, in order.
        test_targets: targets of the test images, if they are known (a finished competition, a held-out set); scored by
            `test`.
        reader: reader of the image files (default: that of the data type; RGB for plain images).
        preprocessing: steps applied to every image after reading, in training and prediction (once, if there is a
            cache): `preprocessing.Clahe`, `preprocessing.RemoveHaze`. Steps that change an image's shape belong in
            `prepare` or `model.inference.size`.
        train_ids: CSV under `root` whose `id_column` lists the training images, or text with one per line (`.txt`), if
            a folder contains other images too (DSTL, Pascal VOC); other matches of `images` are dropped.
        test_ids: CSV or text that lists the test images, often the sample submission.
        id_pattern: regular expression with named groups that extracts columns from the image id:
            `(?P<car>[^_]+)_[0-9]+` gives the column `car`, to group folds by.
        metadata: CSV (or several) under `root` with metadata of the training images, for `cv.group`, `cv.stratify` and
            `features`.
        test_metadata: CSV (or several) with metadata of the test images; needed only for `features`.
        id_column: column of the image id in these CSVs.
        features: numeric columns added to each sample as `features` `(F,)`, for a network with
            `model.inputs: [image, features]`.
        external: external data sets (`datamodules.external`), used for training in every fold and never for
            validation; those without targets use `targets`, with their own root and columns.
        positives_only: whether to train only on images with a non-empty mask; validation uses all images. SIIM's 8th
            place did this with soft Dice, and classified empty images with another network.
        weights: CSV under `root` (or a path) with `image_id` and `weight`, the factor of each training image in the
            loss, as written by `adversarial`. Images not listed keep their weight.
        folds: folds file (default: `folds/<config name>.csv`).
        fold: validated fold, `all` to train on all images without validation, or `given` to validate on the author's
            own split (`val_images`), with a warning about leaks between its sides.
        max_images: maximum number of images of each split, for quick experiments.
        predict_split: splits predicted by `predict`: `val`, `test`, or folders of images. `test` is skipped if there
            are no test images.
        sample_submission: the competition's sample submission under `root`.
        unreadable: handling of test images that cannot be read: `refuse` raises; `empty` warns with the file's name and
            predicts nothing: maps are 0, there are no boxes, and labels are those of a black image. For a hidden test
            set, where one damaged file would cost the submission. Unreadable training images are always errors.
        generator: generator of the files, used if `root` does not exist.
        classes: class names in the order of the class numbers, without void: `[sky, road]`. They are the default of
            `classes` of every target and of the submission, and name the classes in logs (`val/score_road`), panels and
            reports. Unset: the names that the targets have, from their arguments or files.
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
        max_images: int | None = None,
        predict_split: list[str] | None = None,
        sample_submission: str | None = None,
        unreadable: Literal["refuse", "empty"] = "refuse",
        generator: Generator | None = None,
        classes: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs and not isinstance(self, Loading):
            raise TypeError(
                f"{type(self).__name__} has no argument {next(iter(kwargs))!r}; arguments of loaders belong to the "
                "datamodule built on it: datamodules.ImageDataModule for ImageData"
            )
        super().__init__(**kwargs)  # of `Loading`, in a LightningDataModule
        self.root, self.images, self.test_images = root, images, test_images
        self.classes = classes
        self.targets, self.test_targets, self.reader = targets, test_targets or [], reader or self.default_reader()
        self.preprocessing = preprocessing or []
        self.train_ids, self.test_ids, self.id_pattern = train_ids, test_ids, id_pattern
        self.metadata, self.test_metadata, self.id_column = metadata, test_metadata, id_column
        self.features, self.external = features or [], external or []
        self.positives_only, self.weights = positives_only, weights
        self.folds, self.fold, self.val_images, self.max_images = folds, fold, val_images, max_images
        self.predict_split = predict_split if predict_split is not None else ["val", "test"]
        self.sample_submission, self.unreadable, self.generator = sample_submission, unreadable, generator
        external_targets = [target for one in self.external for target in one.targets or []]
        name_classes([*targets, *self.test_targets, *external_targets], classes)
        self._sources = TargetSources(self.root, self.reader, self.targets, self.preprocessing, self.external)
        self._tables: dict[str, pd.DataFrame] = {}
        self._duplicates_checked = False

    def prepare_data(self) -> None:
        """Generate the files if `root` does not exist and the config has a generator."""
        if self.generator is not None and not Path(self.root).exists():
            self.generator.write(Path(self.root))

    # --- tables ------------------------------------------------------------------------------------------------------

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        """Return a table of the files under a folder: `image_id, path, weight, source`, and columns of the subclass."""
        return find_images(root, pattern, source)

    def table(self) -> pd.DataFrame:
        """Return all training images; the column `given` marks the validation images of the author's own split."""
        table = self.find(self.root, self.images, "train").assign(given=False)
        if self.val_images is not None:
            table = with_given(table, self.find(self.root, self.val_images, "train"))
        return self._described(table, "data.train_ids", self.train_ids, self.metadata)

    def test_table(self) -> pd.DataFrame | None:
        """Return the test images, or None if the config has none."""
        if self.test_images is None:
            return None
        table = self.find(self.root, self.test_images, "test")
        return self._described(table, "data.test_ids", self.test_ids, self.test_metadata)

    def folder_table(self, folder: str) -> pd.DataFrame:
        """Return the images of a folder in `predict_split`, matched by the pattern of the test (or training) images."""
        return self.find(folder, pattern_in(folder, self.test_images or self.images), "predict")

    def _described(self, table: pd.DataFrame, key: str, ids: str | None, files: str | list[str] | None) -> pd.DataFrame:
        """Keep the rows listed under this key, and add the columns of CSVs and of the image ids."""
        table = listed(table, self.root, ids, self.id_column, key)
        return described(table, self.root, files, self.id_column, self.id_pattern)

    def sample_submission_path(self) -> Path | None:
        """Return the path of the competition's sample submission, or None."""
        return None if self.sample_submission is None else confined(self.root, self.sample_submission)

    def split_table(self, split: str) -> pd.DataFrame:
        """Return the rows of `train`, `val`, `test`, or a folder of images."""
        if split not in self._tables:
            self._tables[split] = self._make_split(split)
        return self._tables[split]

    def _make_split(self, split: str) -> pd.DataFrame:
        if split in ("train", "val"):
            table = self.table()
            held = self._held(table)
            # External and pseudo-labelled images are never validated.
            table = table[held & (table["source"] == "train")] if split == "val" else table[~held]
            if split == "train" and self.external:
                table = pd.concat([table, *self._sources.external_tables()], ignore_index=True)
            if split == "train" and self.positives_only:
                table = table[self._positive(table, "data.positives_only")]
            if split == "train" and self.weights is not None:
                table = table.assign(weight=table["weight"] * loss_weights(table, self.root, self.weights))
        elif split == "test":
            table = self.test_table()
            if table is None:
                raise ValueError("there are no test images; set data.test_images")
        else:
            table = self.folder_table(split)
        return table.iloc[: self.max_images].reset_index(drop=True)

    def sizes(self, split: str) -> dict[str, tuple[int, int]]:
        """Return the `(H, W)` of every image of a split, from the headers of the files."""
        rows = rows_of(self.split_table(split))
        lenient = self.unreadable == "empty" and split not in ("train", "val")
        source = UnreadableFallback(self._decoder([]), rows) if lenient else self.reader
        return {row.image_id: source.size(row) for row in rows}

    # --- prediction --------------------------------------------------------------------------------------------------

    def predict_splits(self) -> list[str]:
        """Return the names of the splits that `predict` predicts, in the order of its loaders."""
        absent = {"test"} if "test" in self.predict_split and self.test_table() is None else set()
        absent |= {"val"} if self.fold == "all" else set()
        return [split for split in self.predict_split if split not in absent]

    def predict_ids(self, split: str) -> list[str]:
        """Return the ids of all images of a split, predicted or not."""
        return self.split_table(split)["image_id"].tolist()

    def predict_inputs(self, split: str) -> dict[str, Inputs]:
        """Return the inputs of the prediction of each image of a split, by id; `train` is every training image."""
        return inputs_of(self.table() if split == "train" else self.split_table(split), self.reader, self.features)

    # --- folds -------------------------------------------------------------------------------------------------------

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        """Return the table with the columns that the folds need: `size`, and `pixels` to find duplicates."""
        table = self.table()
        if cv.stratify == "size" or cv.duplicates:
            table = with_pixels(table, self.reader)
        if cv.stratify == "area":
            table["area"] = [foreground_area(self.target_arrays(row)) for row in rows_of(table)]
        return table

    def folds_hash(self) -> str:
        """Return the hash of the assignment of images to folds; `all` and `given` need no file."""
        return self.fold if isinstance(self.fold, str) else folds_hash(read_folds(self.folds))

    def groups(self) -> dict[str, str]:
        """Return the group of each image id in the folds file."""
        return groups_of(self.folds)

    def leaks(self, table: pd.DataFrame) -> list[str]:
        """Return a sentence for each leak between the sides of the author's own split; subclasses may add more."""
        return shared_pixels(table, self.reader)

    def _held(self, table: pd.DataFrame) -> pd.Series:
        """Return which rows the fold holds out."""
        if self.fold == "all":
            return pd.Series(False, table.index)
        if self.fold == "given":
            return held_by_author(table, self.val_images, self.leaks)
        held = held_by_folds(table, self.folds, self.fold, None if self._duplicates_checked else self.reader)
        self._duplicates_checked = True
        return held

    # --- targets -----------------------------------------------------------------------------------------------------

    @cached_property
    def class_names(self) -> list[str] | None:
        """Class names in the order of their numbers: `classes`, else those on which the targets agree, else None."""
        return self.classes if self.classes is not None else agreed_names(self.targets, Path(self.root))

    def target_arrays(self, row: Row) -> dict[str, np.ndarray]:
        """Return the target arrays of a row at the image's size, as in validation."""
        self.prepare_targets()
        return self._sources.of(row)

    def raw_targets(self, row: Row) -> dict[str, np.ndarray]:
        """Return the target arrays of a row as read, without the image and without derived targets."""
        return self._decoder(self.targets).target_arrays(row)

    def prepare_targets(self) -> None:
        """Let the targets read their tables and report missing files; only the first call has an effect."""
        self._sources.prepare(self.table)

    def training_labels(self, name: str) -> dict[str, np.ndarray]:
        """Return the value of an image-level target for each training image of this fold, by image id.

        Raises:
            ValueError: if no target has this name.
        """
        self.prepare_targets()
        own = self._sources.labels(name)
        rows = rows_of(self.split_table("train"))
        # Labels are in tables: no image is opened to get its size.
        return {row.image_id: own.get(row.source, own[""]).read(row, (0, 0))[name] for row in rows}

    def _positive(self, table: pd.DataFrame, key: str) -> list[bool]:
        """Return which rows have a non-empty mask."""
        self.prepare_targets()
        return self._sources.has_foreground(rows_of(table), key)

    def _decoder(self, targets: list[Target], external: bool = False) -> Decoder:
        return self._sources.decoder(targets, external)
