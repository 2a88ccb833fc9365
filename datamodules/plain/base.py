"""A set of images with targets, in folds: its files, tables and truth, without torch or Lightning."""

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
from datamodules.targets import Target
from datamodules.truth import Truth, foreground_area
from datamodules.unreadable import UnreadableFallback
from evaluation.cross_validation import CrossValidation
from evaluation.folds import folds_hash, groups_of, read_folds
from files.paths import confined
from preprocessing.base import Preprocess
from preprocessing.sources import Inputs


class BaseData:
    """Images with targets, in folds. A subclass says how files become rows: `find()`.

    Everything that works on files alone takes it: folds, scores, search, submissions. Training and prediction take the
    LightningDataModule on top of it, `BaseDataModule`.

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
        max_images: take only that many images of each split, for a quick look.
        predict_split: what `predict` predicts: `val`, `test`, or folders of images. `test` is left out where the config
            names no test images.
        sample_submission: the competition's sample file under `root`.
        unreadable: what becomes of a test image whose file cannot be read: `refuse` stops; `empty` goes on with a
            warning that names the file, and predicts nothing: maps are 0 everywhere, there are no boxes, and labels are
            what the network says of a black picture. For a hidden test set, where one damaged file would cost the
            submission. Training images are never passed over.
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
        max_images: int | None = None,
        predict_split: list[str] | None = None,
        sample_submission: str | None = None,
        unreadable: Literal["refuse", "empty"] = "refuse",
        generator: Generator | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs and not isinstance(self, Loading):
            raise TypeError(
                f"{type(self).__name__} has no argument {next(iter(kwargs))!r}; those of loaders belong to the "
                "datamodule on top of it, datamodules.ImageDataModule of ImageData"
            )
        super().__init__(**kwargs)  # of `Loading` where a LightningDataModule stands on top
        self.root, self.images, self.test_images = root, images, test_images
        self.targets, self.test_targets, self.reader = targets, test_targets or [], reader or self.default_reader()
        self.preprocessing = preprocessing or []
        self.train_ids, self.test_ids, self.id_pattern = train_ids, test_ids, id_pattern
        self.metadata, self.test_metadata, self.id_column = metadata, test_metadata, id_column
        self.features, self.external = features or [], external or []
        self.positives_only, self.weights = positives_only, weights
        self.folds, self.fold, self.val_images, self.max_images = folds, fold, val_images, max_images
        self.predict_split = predict_split if predict_split is not None else ["val", "test"]
        self.sample_submission, self.unreadable, self.generator = sample_submission, unreadable, generator
        self._truth = Truth(self.root, self.reader, self.targets, self.preprocessing, self.external)
        self._tables: dict[str, pd.DataFrame] = {}
        self._duplicates_checked = False

    def prepare_data(self) -> None:
        """Make the files where there are none and the config says how."""
        if self.generator is not None and not Path(self.root).exists():
            self.generator.write(Path(self.root))

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
        source = UnreadableFallback(self._decoder([]), rows) if lenient else self.reader
        return {row.image_id: source.size(row) for row in rows}

    # --- what is predicted --------------------------------------------------------------------------------------------

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

    def truth(self, row: Row) -> dict[str, np.ndarray]:
        """Target arrays of a row at the image's size, as validation sees them."""
        self.prepare_targets()
        return self._truth.of(row)

    def target_arrays(self, row: Row) -> dict[str, np.ndarray]:
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
