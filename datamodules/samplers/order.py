"""The base of every order other than shuffling."""

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd

from files.tables import comma_hint


class Order(ABC):
    """Which images an epoch of training draws, batch by batch, on every rank."""

    @property
    def wants_positive(self) -> bool:
        """Whether `prepare` needs a column `positive`: is there anything in the mask?"""
        return False

    @abstractmethod
    def prepare(self, table: pd.DataFrame) -> None:
        """Called once with the training rows.

        Raises:
            ValueError: a column that is not there, or rows that cannot be ordered so.
        """

    @abstractmethod
    def batches(self, batch_size: int, repeats: int) -> int:
        """Whole batches in an epoch, of all ranks together; the same in every epoch."""

    @abstractmethod
    def draw(self, batch_size: int, repeats: int, epoch: int, random: np.random.Generator) -> np.ndarray:
        """Row numbers `(batches, batch_size)` of an epoch."""

    def weights(self) -> np.ndarray | None:
        """Factor of the loss of each row; None changes nothing. Called after `prepare`."""
        return None


def classes_of(table: pd.DataFrame, column: str, separator: str | None, what: str) -> list[list]:
    """The classes of every row: one, or those between separators.

    Raises:
        ValueError: no such column, or a row without a class.
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
    """Which rows have a number above 0, or True, in a column: bool `(N,)`.

    Raises:
        ValueError: no such column, or a value that is no number; names the image.
    """
    values = pd.Series(column_of(table, column, what))
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().argmax())
        raise ValueError(
            f"{what}: {column!r} of image {table['image_id'].iloc[row]!r} is {values[row]!r}, no "
            f"number{comma_hint(str(values[row]))}"
        )
    return (numbers > 0).to_numpy()


def column_of(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """A column of the training rows, or an error that lists what there is."""
    if column not in table:
        raise ValueError(
            f"{what}: the table has no column {column!r}, only {sorted(table.columns)}; name a CSV with it in "
            "data.metadata"
        )
    return table[column].to_numpy()
