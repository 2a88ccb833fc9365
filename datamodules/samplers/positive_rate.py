"""Images with a mask, and as many without as a rate asks for."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, positive_of
from datamodules.samplers.ranks import rank_and_world


class PositiveRate(Order):
    """All images with something in their mask, and empty ones drawn with replacement up to a share of positives.

    SIIM-ACR 2019: the 1st place went from 0.8 over 0.6 to 0.4 by stages, the 4th from 0.8 to 0.22 over the epochs. At
    one rate every positive comes exactly once an epoch (`data.samples_per_image` times), which has n_positive / rate
    samples, filled up with empty ones to whole batches of all ranks. With two rates an epoch is as long as at the lower
    one, and positives come equally often, to one, and at least once.

    Args:
        rate: share of positives in (0, 1), or the first epoch's and the last's: `[0.8, 0.22]`, linear in between.
        epochs: over which the rate goes from the first to the second; it then stays.
        column: of the table, whose values above 0 are positive; None looks into the masks.

    Raises:
        ValueError: a rate outside (0, 1), two rates without `epochs`; rows that are all positive, or all empty.
    """

    def __init__(self, rate: float | list[float], epochs: int | None = None, column: str | None = None) -> None:
        rates = rate if isinstance(rate, list) else [rate]
        if len(rates) not in (1, 2) or not all(0 < one < 1 for one in rates):
            raise ValueError(f"PositiveRate: rate is {rate}, expected a share between 0 and 1, or two of them")
        if (len(rates) == 2) != (epochs is not None) or (epochs is not None and epochs < 1):
            raise ValueError(f"PositiveRate: rate is {rate} and epochs {epochs}; two rates need epochs, one takes none")
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
                f"PositiveRate: {len(self.positive)} of {len(table)} training images are positive; it needs both "
                "kinds, leave it out"
            )

    def rate_of(self, epoch: int) -> float:
        """Share of positives of an epoch."""
        if not isinstance(self.rate, list) or len(self.rate) == 1:
            return self.rate[0] if isinstance(self.rate, list) else self.rate
        first, last = self.rate
        return first + (last - first) * min(1.0, epoch / max(1, self.epochs - 1))

    def batches(self, batch_size: int, repeats: int) -> int:
        least = min(self.rate) if isinstance(self.rate, list) else self.rate
        whole = batch_size * rank_and_world()[1]
        return -(-round(len(self.positive) * repeats / least) // whole) * rank_and_world()[1]

    def draw(self, batch_size: int, repeats: int, epoch: int, random: np.random.Generator) -> np.ndarray:
        total = self.batches(batch_size, repeats) * batch_size
        positives = len(self.positive) * repeats
        if isinstance(self.rate, list) and len(self.rate) == 2:
            positives = min(total, max(positives, round(total * self.rate_of(epoch))))
        rounds = [random.permutation(self.positive) for _ in range(-(-positives // len(self.positive)))]
        drawn = np.concatenate([np.concatenate(rounds)[:positives], random.choice(self.empty, total - positives)])
        return random.permutation(drawn).reshape(-1, batch_size)
