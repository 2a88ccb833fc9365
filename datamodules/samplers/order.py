"""The base of every order other than shuffling."""

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd


class Order(ABC):
    """Which images an epoch of training draws, batch by batch, on every rank."""

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


def column_of(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """A column of the training rows, or an error that lists what there is."""
    if column not in table:
        raise ValueError(
            f"{what}: the table has no column {column!r}, only {sorted(table.columns)}; name a CSV with it in "
            "data.metadata"
        )
    return table[column].to_numpy()
