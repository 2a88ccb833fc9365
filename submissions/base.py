"""The base of every submission format."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from files.atomic import atomic_path
from files.tables import read_csv

if TYPE_CHECKING:
    import pandas as pd

Sizes = dict[str, tuple[int, int]]
Row = tuple[str, ...]


class SubmissionError(ValueError):
    """A submission that the competition would refuse; names the row."""


class RowError(ValueError):
    """What is wrong with one of the rows of an image.

    Attributes:
        number: which of the image's rows, counted from 0.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class Submission(ABC):
    """Writes, checks and reads one format of submission file. The first column holds the image id.

    Attributes:
        columns: header of the file.
        keys: number of leading columns that the competition's sample fixes: the image id, and the class where an image
            has a row per class.
        several_rows: whether a key may have more than one row.
        optional: columns that a solution file may lack.
        spatial: whether rows can be checked only with the size of the image.
        blended: whether predictions of several models may be averaged number by number, which lists of boxes may not.
        suffix: ending of an id in the file that the table of images does not have, such as `.jpg`.
    """

    columns: tuple[str, ...]
    keys: int = 1
    several_rows: bool = False
    optional: tuple[str, ...] = ()
    spatial: bool = True
    blended: bool = True
    suffix: str = ""

    def begin(self, output: Path, table: "pd.DataFrame") -> None:  # noqa: B027 - most formats need neither
        """Called before the file is written, with its path and the table of test images."""

    @abstractmethod
    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        """The rows of one image from its post-processed prediction, one or more."""

    @abstractmethod
    def image(self, texts: list[Row], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The result of one image from its rows; raises ValueError for what cannot be, with the row's `number`."""

    def image_id(self, key: Row) -> str:
        """The image that a row belongs to, from its first `keys` columns."""
        if not key[0].endswith(self.suffix):
            raise ValueError(f"the id {key[0]!r} does not end in {self.suffix!r}")
        return key[0].removesuffix(self.suffix)

    def write(
        self,
        predictions: Iterable[tuple[str, dict[str, np.ndarray]]],
        output: Path,
        sample: Path | None = None,
        sizes: Sizes | None = None,
        max_file_size: float | None = None,
    ) -> None:
        """Write the file, check it, and only then give it its name.

        Args:
            predictions: id and post-processed prediction of every image, each once.
            output: where the file goes.
            sample: the competition's sample submission: its ids and their order are what the file holds.
            sizes: `(H, W)` of every image, to check that runs lie inside; None checks less.
            max_file_size: largest file that the competition takes, in megabytes (10^6 bytes).

        Raises:
            SubmissionError: names the row or id, or the file's size. No file is left then.
        """
        with self.held_back():
            self._write(predictions, output, sample, sizes, max_file_size)

    def held_back(self) -> AbstractContextManager[None]:
        """Around the writing: a format with files beside the table keeps them back until all of it is checked."""
        return nullcontext()

    def _write(
        self,
        predictions: Iterable[tuple[str, dict[str, np.ndarray]]],
        output: Path,
        sample: Path | None,
        sizes: Sizes | None,
        max_file_size: float | None,
    ) -> None:
        rows: dict[Row, list[Row]] = {}
        images: set[str] = set()
        for image_id, prediction in predictions:
            if image_id in images:
                raise SubmissionError(f"image {image_id!r} is predicted twice")
            images.add(image_id)
            try:
                written = self.rows(image_id, prediction)
            except ValueError as error:
                raise SubmissionError(f"image {image_id!r}: {error}") from error
            for row in written:
                rows.setdefault(row[: self.keys], []).append(row)
        order = list(dict.fromkeys(self._keys(read_table(sample), sample))) if sample is not None else list(rows)
        wanted = set(order)
        missing = [_shown(key) for key in order if key not in rows]
        extra = [_shown(key) for key in rows if key not in wanted]
        if missing or extra:
            raise SubmissionError(
                f"predictions and {sample or 'ids'} disagree: {len(missing)} ids without a prediction "
                f"{missing[:3]}, {len(extra)} predictions without an id {extra[:3]}; predict this test set"
            )
        with atomic_path(output) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle, lineterminator="\n")
                writer.writerow(self.columns)
                for key in order:
                    writer.writerows(rows[key])
            size = temporary.stat().st_size / 1e6
            if max_file_size is not None and size > max_file_size:
                raise SubmissionError(
                    f"{output} would be {size:.1f} MB, competition.max_file_size is {max_file_size:g}; specks and "
                    "ragged outlines make most runs: add postprocessing.MinimumArea or Smooth to the chain"
                )
            self.validate(temporary, sample, sizes)

    def validate(self, path: Path, sample: Path | None = None, sizes: Sizes | None = None) -> None:
        """Check a file as the competition would.

        Raises:
            SubmissionError: columns, missing, unknown, repeated or unsorted ids, values that cannot be.
        """
        order = self.keys_of(path)
        if sample is not None:
            self._compare(path, order, list(dict.fromkeys(self._keys(read_table(sample), sample))))
        if sizes is not None or not self.spatial:
            self.read(path, sizes)

    def keys_of(self, path: Path) -> list[Row]:
        """The keys of a file in their order, after a look at its columns.

        Raises:
            SubmissionError: other columns, a key with a second row where one is all, or one that comes up again.
        """
        table = read_table(path)
        if tuple(table.columns) != self.columns:
            raise SubmissionError(f"{path}: columns are {list(table.columns)}, expected {list(self.columns)}")
        order: dict[Row, None] = {}
        previous = None
        for row, key in enumerate(self._keys(table, path), 2):
            if key == previous:
                if not self.several_rows:
                    raise SubmissionError(f"{path}, row {row}: image {_shown(key)!r} has a second row")
                continue
            if key in order:
                raise SubmissionError(f"{path}, row {row}: image {_shown(key)!r} comes up again after other images")
            order[key] = None
            previous = key
        return list(order)

    def _compare(self, path: Path, order: list[Row], expected: list[Row]) -> None:
        """Refuse other ids than the sample's, or another order."""
        if order == expected:
            return
        missing, extra = set(expected) - set(order), set(order) - set(expected)
        if missing or extra:
            raise SubmissionError(
                f"{path}: {len(missing)} ids of the sample are missing {[_shown(key) for key in sorted(missing)[:3]]}, "
                f"{len(extra)} are not in it {[_shown(key) for key in sorted(extra)[:3]]}"
            )
        one, other = next((one, other) for one, other in zip(order, expected, strict=True) if one != other)
        raise SubmissionError(f"{path}: image {_shown(one)!r} stands where the sample has {_shown(other)!r}")

    def _keys(self, table: "pd.DataFrame", path: Path) -> list[Row]:
        leading = list(self.columns[: self.keys])
        lacking = [column for column in leading if column not in table.columns]
        if lacking:
            raise SubmissionError(f"{path}: no column {lacking}, only {list(table.columns)}")
        return list(table[leading].itertuples(index=False, name=None))

    def read(self, path: Path, sizes: Sizes | None) -> dict[str, dict[str, np.ndarray]]:
        """Every image's result, so that a metric can score a submission or solution file.

        Args:
            path: the file; further columns (a solution's Height, Width, Usage) are left alone.
            sizes: `(H, W)` of every image; None for formats without pixels.
        """
        if sizes is None and self.spatial:
            raise ValueError(f"{type(self).__name__} reads {path} only with the sizes of its images")
        table = read_table(path)
        lacking = [column for column in self.columns if column not in (*table.columns, *self.optional)]
        if lacking:
            raise SubmissionError(f"{path}: no column {lacking}, only {list(table.columns)}")
        table = table.reindex(columns=list(self.columns), fill_value="")
        images: dict[str, tuple[list[int], list[Row]]] = {}
        for number, row in enumerate(table.itertuples(index=False, name=None), 2):
            try:
                image_id = self.image_id(row[: self.keys])
            except ValueError as error:
                raise SubmissionError(f"{path}, row {number}: {error}") from error
            if sizes is not None and image_id not in sizes:
                raise SubmissionError(f"{path}, row {number}: image {image_id!r} is unknown")
            numbers, texts = images.setdefault(image_id, ([], []))
            numbers.append(number)
            texts.append(row)
        result = {}
        for image_id, (numbers, texts) in images.items():
            try:
                result[image_id] = self.image(texts, sizes[image_id] if sizes is not None else (0, 0))
            except ValueError as error:
                number = numbers[getattr(error, "number", 0)]
                raise SubmissionError(f"{path}, row {number}, image {image_id!r}: {error}") from error
        return result


def named(prediction: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The array of this name, or an error that lists what there is."""
    if name not in prediction:
        raise ValueError(f"the submission wants {name!r}, the prediction holds {sorted(prediction)}")
    return np.asarray(prediction[name])


def _shown(key: Row) -> str:
    return ", ".join(key)


def read_table(path: Path) -> "pd.DataFrame":
    """A CSV as text, as `read_csv` has it."""
    if not Path(path).is_file():
        raise SubmissionError(f"{path} is not there; check data.sample_submission, or the file's name")
    try:
        return read_csv(path)
    except ValueError as error:
        raise SubmissionError(str(error)) from None
