"""No batch without a mask."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, positive_of


class NonemptyBatches(Order):
    """Shuffled images in batches that each hold one with something in its mask, or more.

    SIIM-ACR 2019, 11th place: Dice over a batch without any truth says nothing. An image comes as often as when
    shuffled; where there are fewer positives than batches, an epoch has as many batches as positives.

    Args:
        column: of the table, whose values above 0 are positive; None looks into the masks.

    Raises:
        ValueError: no training image is positive.
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

    def draw(self, batch_size: int, repeats: int, epoch: int, random: np.random.Generator) -> np.ndarray:
        count = self.batches(batch_size, repeats)
        order = np.concatenate([random.permutation(len(self.positive)) for _ in range(repeats)])
        if len(order) < count * batch_size:  # fewer images than a batch
            order = np.concatenate([order, random.choice(len(self.positive), count * batch_size - len(order))])
        first = np.flatnonzero(self.positive[order])[:count]  # one for each batch, chosen by the shuffle
        others = np.delete(order, first)[: count * (batch_size - 1)].reshape(count, batch_size - 1)
        batches = np.concatenate([order[first][:, None], others], axis=1)
        return random.permuted(batches, axis=1)[random.permutation(count)]
