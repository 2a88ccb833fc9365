"""A fixed share of images with a non-empty mask."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, positive_of
from datamodules.samplers.ranks import rank_and_world


class PositiveRate(Order):
    """All images with a non-empty mask, and empty ones drawn with replacement, at a given share of positives.

    SIIM-ACR 2019: the 1st place went from 0.8 over 0.6 to 0.4 by stages, the 4th from 0.8 to 0.22 over the epochs. At
    one rate every positive is drawn exactly once per epoch (`data.samples_per_image` times), which has n_positive /
    rate samples, filled up with empty ones to whole batches of all ranks. With two rates an epoch is as long as at the
    lower one, and positives are drawn equally often, within one, and at least once.

    Args:
        rate: share of positives in (0, 1), or that of the first and the last epoch: `[0.8, 0.22]`, linear in between.
        epochs: number of epochs in which the rate changes from the first to the second.
        column: column whose values above 0 are positive; None checks the masks.

    Raises:
        ValueError: if a rate is outside (0, 1), there are two rates without `epochs`, or rows are all positive or all
            empty.
    """

    def __init__(self, rate: float | list[float], epochs: int | None = None, column: str | None = None) -> None:
        rates = rate if isinstance(rate, list) else [rate]
        if len(rates) not in (1, 2) or not all(0 < one < 1 for one in rates):
            raise ValueError(f"PositiveRate: rate is {rate}, expected a share between 0 and 1, or two of them")
        if (len(rates) == 2) != (epochs is not None) or (epochs is not None and epochs < 1):
            raise ValueError(f"PositiveRate: rate is {rate} and epochs {epochs}; set epochs for two rates, not for one")
        self.rate, self.epochs, self.column = rate, epochs, column
        self.positive = self.empty = np.empty(0, int)

    @property
    def wants_positive(self) -> bool:
        return self.column is None

    def prepare(self, table: pd.DataFrame) -> None:
        positive = positive_of(table, self.column or "positive", "PositiveRate")
        self.positive, self.empty = np.flatnonzero(positive), np.flatnonzero(~positive)
        if not len(self.positive) or not len(self.empty):
            raise ValueError(
                f"PositiveRate: {len(self.positive)} of {len(table)} training images are positive, but it needs "
                "positive and empty ones; remove it"
            )

    def rate_of(self, epoch: int) -> float:
        """Return the share of positives of an epoch."""
        if not isinstance(self.rate, list) or len(self.rate) == 1:
            return self.rate[0] if isinstance(self.rate, list) else self.rate
        first, last = self.rate
        return first + (last - first) * min(1.0, epoch / max(1, self.epochs - 1))

    def batches(self, batch_size: int, repeats: int) -> int:
        lowest = min(self.rate) if isinstance(self.rate, list) else self.rate
        step = batch_size * rank_and_world()[1]
        return -(-round(len(self.positive) * repeats / lowest) // step) * rank_and_world()[1]

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        total = self.batches(batch_size, repeats) * batch_size
        positives = len(self.positive) * repeats
        if isinstance(self.rate, list) and len(self.rate) == 2:
            positives = min(total, max(positives, round(total * self.rate_of(epoch))))
        rounds = [rng.permutation(self.positive) for _ in range(-(-positives // len(self.positive)))]
        drawn = np.concatenate([np.concatenate(rounds)[:positives], rng.choice(self.empty, total - positives)])
        return rng.permutation(drawn).reshape(-1, batch_size)
