"""The base class of samplers other than shuffling."""

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd

from files.tables import comma_hint


class Order(ABC):
    """Base class: which images a training epoch draws, batch by batch, on every rank."""

    @property
    def wants_positive(self) -> bool:
        """Whether `prepare` needs a column `positive`, True for non-empty masks."""
        return False

    @abstractmethod
    def prepare(self, table: pd.DataFrame) -> None:
        """Use the training rows; called once.

        Raises:
            ValueError: if a column is missing, or the rows do not fit.
        """

    @abstractmethod
    def batches(self, batch_size: int, repeats: int) -> int:
        """Return the number of whole batches per epoch, of all ranks together; equal in every epoch."""

    @abstractmethod
    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """Return the row indices `(batches, batch_size)` of an epoch."""

    def weights(self) -> np.ndarray | None:
        """Return a factor of the loss for each row, or None. Called after `prepare`."""
        return None


def classes_of(table: pd.DataFrame, column: str, separator: str | None, what: str) -> list[list]:
    """Return the classes of every row: one, or several between separators.

    Raises:
        ValueError: if the column is missing, or a row has no class.
    """
    values = column_of(table, column, what)
    if separator is None:
        found = [[] if pd.isna(value) or value == "" else [value] for value in values]
    else:
        texts = ["" if pd.isna(value) else str(value) for value in values]
        found = [[part.strip() for part in text.split(separator) if part.strip()] for text in texts]
    if [] in found:
        raise ValueError(f"{what}: image {table['image_id'].iloc[found.index([])]!r} has no {column!r}")
    return found


def positive_of(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """Return which rows have a number above 0, or True, in a column: bool `(N,)`.

    Raises:
        ValueError: if the column is missing, or a value is not a number; names the image.
    """
    values = pd.Series(column_of(table, column, what))
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().argmax())
        raise ValueError(
            f"{what}: {column!r} of image {table['image_id'].iloc[row]!r} is {values[row]!r}, expected a "
            f"number{comma_hint(str(values[row]))}"
        )
    return (numbers > 0).to_numpy()


def column_of(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """Return a column of the training rows, or raise an error that lists the columns."""
    if column not in table:
        raise ValueError(
            f"{what}: the table has no column {column!r}, only {sorted(table.columns)}; add a CSV with it to "
            "data.metadata"
        )
    return table[column].to_numpy()
