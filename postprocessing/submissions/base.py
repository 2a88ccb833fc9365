"""The base of every submission format."""

import csv
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

Sizes = dict[str, tuple[int, int]]


class SubmissionError(ValueError):
    """A submission that the competition would refuse; names the row."""


class Submission(ABC):
    """Writes, checks and reads one format of submission file. The first column holds the image id.

    Attributes:
        columns: header of the file.
        several_rows: whether an image may have more than one row.
    """

    columns: tuple[str, ...]
    several_rows: bool = False

    def begin(self, output: Path, table: pd.DataFrame) -> None:  # noqa: B027 - most formats need neither
        """Called before the file is written, with its path and the table of test images."""

    @abstractmethod
    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        """The rows of one image from its post-processed prediction."""

    @abstractmethod
    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The result of one image from its rows; raises ValueError for run lengths that cannot be."""

    def write(
        self,
        predictions: Iterable[tuple[str, dict[str, np.ndarray]]],
        output: Path,
        sample: Path | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        """Write the file, check it, and only then give it its name.

        Args:
            predictions: id and post-processed prediction of every image, each once.
            output: where the file goes.
            sample: the competition's sample submission: its ids and their order are what the file holds.
            sizes: `(H, W)` of every image, to check that runs lie inside; None checks less.

        Raises:
            SubmissionError: names the row or id. No file is left then.
        """
        rows: dict[str, list[tuple[str, ...]]] = {}
        for image_id, prediction in predictions:
            if image_id in rows:
                raise SubmissionError(f"image {image_id!r} is predicted twice")
            rows[image_id] = self.rows(image_id, prediction)
        order = list(dict.fromkeys(read_table(sample)[self.columns[0]])) if sample is not None else list(rows)
        missing = [image_id for image_id in order if image_id not in rows]
        extra = [image_id for image_id in rows if image_id not in set(order)]
        if missing or extra:
            raise SubmissionError(
                f"predictions and {sample or 'ids'} disagree: {len(missing)} ids without a prediction "
                f"{missing[:3]}, {len(extra)} predictions without an id {extra[:3]}; predict this test set"
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.with_name(output.name + ".tmp")
        try:
            with open(temporary, "w", newline="") as handle:
                writer = csv.writer(handle, lineterminator="\n")
                writer.writerow(self.columns)
                for image_id in order:
                    writer.writerows(rows[image_id])
            self.validate(temporary, sample, sizes)
            os.replace(temporary, output)
        finally:
            temporary.unlink(missing_ok=True)

    def validate(self, path: Path, sample: Path | None = None, sizes: Sizes | None = None) -> None:
        """Check a file as the competition would.

        Raises:
            SubmissionError: columns, missing, unknown, repeated or unsorted ids, impossible run lengths, overlaps.
        """
        table = read_table(path)
        if tuple(table.columns[: len(self.columns)]) != self.columns or len(table.columns) != len(self.columns):
            raise SubmissionError(f"{path}: columns are {list(table.columns)}, expected {list(self.columns)}")
        ids = table[self.columns[0]]
        changes = ids != ids.shift()
        order = ids[changes].tolist()
        seen: set[str] = set()
        for row, image_id in ids[changes].items():
            if image_id in seen:
                raise SubmissionError(f"{path}, row {row + 2}: image {image_id!r} comes up again after other images")
            seen.add(image_id)
        if not self.several_rows and ids.duplicated().any():
            row = int(ids.duplicated().to_numpy().argmax())
            raise SubmissionError(f"{path}, row {row + 2}: image {ids[row]!r} has a second row")
        if sample is not None:
            expected = list(dict.fromkeys(read_table(sample)[self.columns[0]]))
            if order != expected:
                missing, extra = set(expected) - seen, seen - set(expected)
                if not missing and not extra:
                    place = next(i for i, (one, other) in enumerate(zip(order, expected, strict=True)) if one != other)
                    raise SubmissionError(
                        f"{path}: image {order[place]!r} stands where the sample has {expected[place]!r}"
                    )
                raise SubmissionError(
                    f"{path}: {len(missing)} ids of the sample are missing {sorted(missing)[:3]}, "
                    f"{len(extra)} are not in it {sorted(extra)[:3]}"
                )
        if sizes is not None:
            self.read(path, sizes)

    def read(self, path: Path, sizes: Sizes) -> dict[str, dict[str, np.ndarray]]:
        """Every image's result, so that a metric can score a submission or solution file.

        Args:
            path: the file; further columns (a solution's Height, Width, Usage) are left alone.
            sizes: `(H, W)` of every image.
        """
        table = read_table(path)
        lacking = [column for column in self.columns if column not in table.columns]
        if lacking:
            raise SubmissionError(f"{path}: no column {lacking}, only {list(table.columns)}")
        result = {}
        for image_id, part in table.groupby(self.columns[0], sort=False):
            row = int(part.index[0]) + 2
            if image_id not in sizes:
                raise SubmissionError(f"{path}, row {row}: image {image_id!r} is unknown")
            try:
                texts = list(part[list(self.columns)].itertuples(index=False, name=None))
                result[image_id] = self.image(texts, sizes[image_id])
            except ValueError as error:
                raise SubmissionError(f"{path}, image {image_id!r} (from row {row}): {error}") from error
        return result


def read_table(path: Path) -> pd.DataFrame:
    """A CSV as text: `001` stays `001`, `NA` is an id, header names without stray spaces."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise SubmissionError(f"{path} is empty") from None
    return table.rename(columns=str.strip)
