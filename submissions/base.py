"""Base class of submission formats."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
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
        sparse: whether an image without objects has no row.
        optional: columns that a solution file may lack.
        spatial: whether rows can be checked only with the size of the image.
        blended: whether predictions of several models may be averaged elementwise; lists of boxes may not.
        suffix: suffix of ids in the file that the table of images does not have, such as `.jpg`.
        file_name: name of the file in the folder of the experiment, unless `submit --output` gives another.
        classes: class names; None if a format that has classes takes those of the data.
    """

    columns: tuple[str, ...]
    keys: int = 1
    several_rows: bool = False
    sparse: bool = False
    optional: tuple[str, ...] = ()
    spatial: bool = True
    blended: bool = True
    suffix: str = ""
    file_name: str = "submission.csv"
    classes: Any

    def lacks_classes(self) -> bool:
        """Whether the format has classes that are not set."""
        return getattr(self, "classes", ()) is None

    def take_classes(self, names: list[str] | None) -> None:
        """Adopt the class names of the data (`data.classes`); called once if `lacks_classes`.

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
        """Prepare for writing or reading `output` for the given table of test images."""

    @abstractmethod
    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        """Rows of one image from its post-processed prediction: one or more, or none if the format is sparse."""

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
        with self._appearing(output) as temporary:
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
            order = self._order(rows, images, sample, sizes)
            self._save(temporary, [row for key in order for row in rows[key]])
            size = self.bytes_of(temporary) / 1e6
            if max_file_size is not None and size > max_file_size:
                raise SubmissionError(
                    f"{output} would be {size:.1f} MB, competition.max_file_size is {max_file_size:g}; specks and "
                    "ragged outlines need most runs: add postprocessing.MinimumArea or Smooth to the chain"
                )
            self.validate(temporary, sample, sizes)

    def _order(
        self, rows: dict[Row, list[Row]], images: set[str], sample: Path | None, sizes: Sizes | None
    ) -> list[Row]:
        """Keys in the order of the sample, if there is one.

        Raises:
            SubmissionError: keys or images without a prediction, or predictions of others.
        """
        expected = list(rows) if sample is None else self._sample_keys(sample)
        wanted = set(expected)
        missing = [_shown(key) for key in expected if key not in rows and self._needs_row(key, images)]
        if sample is None and sizes is not None:
            missing = [image_id for image_id in sizes if image_id not in images]
        extra = [_shown(key) for key in rows if key not in wanted]
        if missing or extra:
            raise SubmissionError(
                f"predictions do not match {sample or 'the test images'}: {len(missing)} ids without a prediction "
                f"{missing[:3]}, {len(extra)} predictions without an id {extra[:3]}; predict this test set"
            )
        return [key for key in expected if key in rows]

    def _needs_row(self, key: Row, images: set[str]) -> bool:
        return not self.sparse or self.image_id(key) not in images

    def _sample_keys(self, sample: Path) -> list[Row]:
        return list(dict.fromkeys(self._keys(self.table(sample), sample)))

    def table(self, path: Path) -> "pd.DataFrame":
        """Rows of a file as texts, by column."""
        return read_table(path)

    def _appearing(self, output: Path) -> AbstractContextManager[Path]:
        """Path to write to, which becomes `output` at the end of `with`."""
        return atomic_path(output)

    def _save(self, path: Path, rows: list[Row]) -> None:
        """Write rows to a file."""
        with open(path, "w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(rows)

    def bytes_of(self, path: Path) -> int:
        """Size of a written submission in bytes."""
        return path.stat().st_size

    def _where(self, path: Path, number: int) -> str:
        """Place of a row in a file, for messages; `number` counts from 0."""
        return f"{path}, row {number + 2}"

    def validate(self, path: Path, sample: Path | None = None, sizes: Sizes | None = None) -> None:
        """Validate a file as the competition would.

        Raises:
            SubmissionError: wrong columns, missing, unknown, repeated or unsorted ids, invalid values.
        """
        order = self.keys_of(path)
        if sample is not None:
            self._compare(path, order, self._sample_keys(sample))
        if sizes is not None or not self.spatial:
            self.read(path, sizes)

    def keys_of(self, path: Path) -> list[Row]:
        """Keys of a file in order, after checking its columns.

        Raises:
            SubmissionError: wrong columns, several rows of a key that may have one, or a key repeated after others.
        """
        table = self.table(path)
        if tuple(table.columns) != self.columns:
            raise SubmissionError(f"{path}: columns are {list(table.columns)}, expected {list(self.columns)}")
        order: dict[Row, None] = {}
        previous = None
        for number, key in enumerate(self._keys(table, path)):
            if key == previous:
                if not self.several_rows:
                    raise SubmissionError(f"{self._where(path, number)}: image {_shown(key)!r} has a second row")
                continue
            if key in order:
                raise SubmissionError(
                    f"{self._where(path, number)}: image {_shown(key)!r} is repeated after other images"
                )
            order[key] = None
            previous = key
        return list(order)

    def _compare(self, path: Path, order: list[Row], expected: list[Row]) -> None:
        """Check that ids and their order equal the sample's."""
        if self.sparse:
            present = set(order)
            expected = [key for key in expected if key in present]
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
            sizes: `(H, W)` of every image; None for formats without pixels. A sparse format returns each of them, also
                those without a row.
        """
        if sizes is None and self.spatial:
            raise ValueError(f"{type(self).__name__} needs the sizes of the images to read {path}")
        table = self.table(path)
        lacking = [column for column in self.columns if column not in (*table.columns, *self.optional)]
        if lacking:
            raise SubmissionError(f"{path}: column {lacking} is missing, found {list(table.columns)}")
        table = table.reindex(columns=list(self.columns), fill_value="")
        images: dict[str, tuple[list[int], list[Row]]] = {}
        for number, row in enumerate(table.itertuples(index=False, name=None)):
            try:
                image_id = self.image_id(row[: self.keys])
            except ValueError as error:
                raise SubmissionError(f"{self._where(path, number)}: {error}") from error
            if sizes is not None and image_id not in sizes:
                raise SubmissionError(f"{self._where(path, number)}: image {image_id!r} is unknown")
            numbers, texts = images.setdefault(image_id, ([], []))
            numbers.append(number)
            texts.append(row)
        if self.sparse and sizes is not None:
            images |= {image_id: ([], []) for image_id in sizes if image_id not in images}
        result = {}
        for image_id, (numbers, texts) in images.items():
            try:
                result[image_id] = self.image(texts, sizes[image_id] if sizes is not None else (0, 0))
            except ValueError as error:
                number = numbers[getattr(error, "number", 0)]
                raise SubmissionError(f"{self._where(path, number)}, image {image_id!r}: {error}") from error
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
