"""Batches with at least one non-empty mask."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, positive_of


class NonemptyBatches(Order):
    """Shuffled images in batches that each contain at least one image with a non-empty mask.

    SIIM-ACR 2019, 11th place: Dice over a batch of empty masks is meaningless. Images are as frequent as in a shuffled
    epoch; with fewer positives than batches, an epoch has as many batches as positives.

    Args:
        column: column whose values above 0 are positive; None checks the masks.

    Raises:
        ValueError: if no training image is positive.
    """

    def __init__(self, column: str | None = None) -> None:
        self.column = column
        self.positive = np.empty(0, bool)

    @property
    def wants_positive(self) -> bool:
        return self.column is None

    def prepare(self, table: pd.DataFrame) -> None:
        self.positive = positive_of(table, self.column or "positive", "NonemptyBatches")
        if not self.positive.any():
            raise ValueError(f"NonemptyBatches: none of {len(table)} training images is positive")

    def batches(self, batch_size: int, repeats: int) -> int:
        return max(1, min(len(self.positive) * repeats // batch_size, int(self.positive.sum()) * repeats))

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        count = self.batches(batch_size, repeats)
        order = np.concatenate([rng.permutation(len(self.positive)) for _ in range(repeats)])
        if len(order) < count * batch_size:  # fewer images than a batch
            order = np.concatenate([order, rng.choice(len(self.positive), count * batch_size - len(order))])
        first = np.flatnonzero(self.positive[order])[:count]  # one for each batch, chosen by the shuffle
        others = np.delete(order, first)[: count * (batch_size - 1)].reshape(count, batch_size - 1)
        batches = np.concatenate([order[first][:, None], others], axis=1)
        return rng.permuted(batches, axis=1)[rng.permutation(count)]
