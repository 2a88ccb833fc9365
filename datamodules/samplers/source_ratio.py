"""Real and pseudo-labelled images in a fixed ratio."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, column_of
from datamodules.samplers.ranks import rank_and_world


class SourceRatio(Order):
    """Epochs with a fixed number of images of one source for each other image.

    An epoch has as many whole batches as all other rows and their share of the source fill, rounded; the ratio is exact
    within one sample in the epoch and in every batch. If the source has too many images, others are drawn each epoch;
    if too few, they repeat equally often.

    Args:
        ratio: number of images of `source` for each other image; 0.5 in SIIM-ACR 2019's 3rd place.
        source: value of the table's column `source`, that of the external data.

    Raises:
        ValueError: if the ratio is not above 0, or the table has no such rows.
    """

    def __init__(self, ratio: float, source: str = "pseudo") -> None:
        if not ratio > 0:
            raise ValueError(f"SourceRatio: ratio is {ratio}, expected more than 0; to use no such rows, remove them")
        self.ratio, self.source = ratio, source
        self.members: tuple[np.ndarray, np.ndarray] = (np.empty(0, int), np.empty(0, int))

    def prepare(self, table: pd.DataFrame) -> None:
        values = column_of(table, "source", "SourceRatio")
        self.members = np.flatnonzero(values != self.source), np.flatnonzero(values == self.source)
        if not all(map(len, self.members)):
            raise ValueError(
                f"SourceRatio: sources of training rows are {sorted(set(values))}, expected {self.source!r} and others"
            )

    def batches(self, batch_size: int, repeats: int) -> int:
        world = rank_and_world()[1]
        samples = len(self.members[0]) * repeats * (1 + self.ratio)
        return max(1, round(samples / (batch_size * world))) * world

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        count = self.batches(batch_size, repeats)
        share = self.ratio / (1 + self.ratio)
        # Number of samples of the source up to the end of each batch, so that the whole epoch is exact too.
        ends = np.floor(np.arange(count + 1) * batch_size * share + 0.5).astype(int)
        real, other = (
            _rounds(members, number, rng)
            for members, number in zip(self.members, (count * batch_size - ends[-1], ends[-1]), strict=True)
        )
        batches = []
        for number in range(count):
            start, end = ends[number], ends[number + 1]
            own = real[number * batch_size - start : (number + 1) * batch_size - end]
            batches.append(rng.permutation(np.concatenate([own, other[start:end]])))
        return np.stack(batches)


def _rounds(members: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a number of the members, with frequencies that differ by at most one."""
    rounds = [rng.permutation(members) for _ in range(-(-number // len(members)))]
    return np.concatenate([*rounds, members[:0]])[:number]
