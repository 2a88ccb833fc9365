"""Base class of submission formats."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from files.atomic import atomic_path
from files.tables import read_csv

if TYPE_CHECKING:
    import pandas as pd

Sizes = dict[str, tuple[int, int]]
Row = tuple[str, ...]


class SubmissionError(ValueError):
    """An invalid submission; names the row."""


class RowError(ValueError):
    """An invalid row of an image.

    Attributes:
        number: index among the rows of the image, from 0.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class Submission(ABC):
    """Writes, checks and reads one format of submission file. The first column is the image id.

    Attributes:
        columns: header of the file.
        keys: number of leading columns that the competition's sample determines: the image id, and the class if an
            image has a row per class.
        several_rows: whether a key may have several rows.
        optional: columns that a solution file may lack.
        spatial: whether rows can be checked only with the size of the image.
        blended: whether predictions of several models may be averaged elementwise; lists of boxes may not.
        suffix: suffix of ids in the file that the table of images does not have, such as `.jpg`.
        classes: class names; None if a format that has classes takes those of the data.
    """

    columns: tuple[str, ...]
    keys: int = 1
    several_rows: bool = False
    optional: tuple[str, ...] = ()
    spatial: bool = True
    blended: bool = True
    suffix: str = ""
    classes: Any

    def lacks_classes(self) -> bool:
        """Whether the format has classes that are not set."""
        return getattr(self, "classes", ()) is None

    def take_classes(self, names: list[str] | None) -> None:
        """Adopt the class names of the data (`data.class_names`); called once if `lacks_classes`.

        Raises:
            ValueError: the format needs the names of the classes and the data has none.
        """
        if names is None:
            raise ValueError(
                f"{type(self).__name__}: classes is not set, and the targets do not name their classes; set "
                "data.classes to the class names in order"
            )
        self.classes = names

    def begin(self, output: Path, table: "pd.DataFrame") -> None:  # noqa: B027 - most formats need nothing here
        """Prepare for writing `output` for the given table of test images."""

    @abstractmethod
    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        """Rows of one image from its post-processed prediction, one or more."""

    @abstractmethod
    def image(self, texts: list[Row], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Parse the rows of one image; raises ValueError for invalid ones, with the `number` of the row."""

    def image_id(self, key: Row) -> str:
        """Image id of a row, from its first `keys` columns."""
        if not key[0].endswith(self.suffix):
            raise ValueError(f"id {key[0]!r} does not end in {self.suffix!r}")
        return key[0].removesuffix(self.suffix)

    def write(
        self,
        predictions: Iterable[tuple[str, dict[str, np.ndarray]]],
        output: Path,
        sample: Path | None = None,
        sizes: Sizes | None = None,
        max_file_size: float | None = None,
    ) -> None:
        """Write the file and check it; it appears only if it is valid.

        Args:
            predictions: id and post-processed prediction of every image, each once.
            output: path of the file.
            sample: path of the competition's sample submission, which determines ids and their order.
            sizes: `(H, W)` of every image, to check that runs are inside; None skips this check.
            max_file_size: largest file that the competition accepts, in megabytes (10^6 bytes).

        Raises:
            SubmissionError: an invalid row or id, or too large a file. No file is written.
        """
        with self.held_back():
            self._write(predictions, output, sample, sizes, max_file_size)

    def held_back(self) -> AbstractContextManager[None]:
        """Context of the writing: a format with more files than the table holds them back until all are checked."""
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
                raise SubmissionError(f"image {image_id!r} has two predictions, expected one")
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
                f"predictions do not match {sample or 'ids'}: {len(missing)} ids without a prediction "
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
                    "ragged outlines need most runs: add postprocessing.MinimumArea or Smooth to the chain"
                )
            self.validate(temporary, sample, sizes)

    def validate(self, path: Path, sample: Path | None = None, sizes: Sizes | None = None) -> None:
        """Validate a file as the competition would.

        Raises:
            SubmissionError: wrong columns, missing, unknown, repeated or unsorted ids, invalid values.
        """
        order = self.keys_of(path)
        if sample is not None:
            self._compare(path, order, list(dict.fromkeys(self._keys(read_table(sample), sample))))
        if sizes is not None or not self.spatial:
            self.read(path, sizes)

    def keys_of(self, path: Path) -> list[Row]:
        """Keys of a file in order, after checking its columns.

        Raises:
            SubmissionError: wrong columns, several rows of a key that may have one, or a key repeated after others.
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
                raise SubmissionError(f"{path}, row {row}: image {_shown(key)!r} is repeated after other images")
            order[key] = None
            previous = key
        return list(order)

    def _compare(self, path: Path, order: list[Row], expected: list[Row]) -> None:
        """Check that ids and their order equal the sample's."""
        if order == expected:
            return
        missing, extra = set(expected) - set(order), set(order) - set(expected)
        if missing or extra:
            raise SubmissionError(
                f"{path}: {len(missing)} ids of the sample are missing {[_shown(key) for key in sorted(missing)[:3]]}, "
                f"{len(extra)} ids are not in the sample {[_shown(key) for key in sorted(extra)[:3]]}"
            )
        one, other = next((one, other) for one, other in zip(order, expected, strict=True) if one != other)
        raise SubmissionError(f"{path}: image is {_shown(one)!r}, expected {_shown(other)!r} as in the sample")

    def _keys(self, table: "pd.DataFrame", path: Path) -> list[Row]:
        leading = list(self.columns[: self.keys])
        lacking = [column for column in leading if column not in table.columns]
        if lacking:
            raise SubmissionError(f"{path}: column {lacking} is missing, found {list(table.columns)}")
        return list(table[leading].itertuples(index=False, name=None))

    def read(self, path: Path, sizes: Sizes | None) -> dict[str, dict[str, np.ndarray]]:
        """Parse a submission or solution file, so that a metric can score it.

        Args:
            path: path of the file; further columns (a solution's Height, Width, Usage) are ignored.
            sizes: `(H, W)` of every image; None for formats without pixels.
        """
        if sizes is None and self.spatial:
            raise ValueError(f"{type(self).__name__} needs the sizes of the images to read {path}")
        table = read_table(path)
        lacking = [column for column in self.columns if column not in (*table.columns, *self.optional)]
        if lacking:
            raise SubmissionError(f"{path}: column {lacking} is missing, found {list(table.columns)}")
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


def require_array(prediction: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the array of this name, or raise an error that lists the names there are."""
    if name not in prediction:
        raise ValueError(f"the submission requires {name!r}, the prediction has {sorted(prediction)}")
    return np.asarray(prediction[name])


def _shown(key: Row) -> str:
    return ", ".join(key)


def read_table(path: Path) -> "pd.DataFrame":
    """Read a CSV as text, as `read_csv` does."""
    if not Path(path).is_file():
        raise SubmissionError(f"{path} does not exist; check data.sample_submission, or the file name")
    try:
        return read_csv(path)
    except ValueError as error:
        raise SubmissionError(str(error)) from None
