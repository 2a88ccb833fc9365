"""Real and pseudo-labelled images in a fixed ratio."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, column_of
from datamodules.samplers.ranks import rank_and_world


class SourceRatio(Order):
    """Epochs in which images of one source come in a fixed number for each real one.

    An epoch has as many whole batches as the real rows and their share of others fill, rounded; in it the numbers are
    exact to the nearest sample, in every batch to the nearest one above or below. Which images of a source that is too
    large are drawn changes from epoch to epoch; of one too small they come several times, equally often.

    Args:
        ratio: images of `source` for each other one; SIIM-ACR 2019's 3rd place took 0.5.
        source: value of the table's column `source`: that of the external data.

    Raises:
        ValueError: a ratio that is not above 0, or a table without such rows.
    """

    def __init__(self, ratio: float, source: str = "pseudo") -> None:
        if not ratio > 0:
            raise ValueError(f"SourceRatio: ratio is {ratio}, expected more than 0; without such rows leave them out")
        self.ratio, self.source = ratio, source
        self.members: tuple[np.ndarray, np.ndarray] = (np.empty(0, int), np.empty(0, int))

    def prepare(self, table: pd.DataFrame) -> None:
        values = column_of(table, "source", "SourceRatio")
        self.members = np.flatnonzero(values != self.source), np.flatnonzero(values == self.source)
        if not all(map(len, self.members)):
            raise ValueError(
                f"SourceRatio: the training rows are of {sorted(set(values))}; expected {self.source!r} and others"
            )

    def batches(self, batch_size: int, repeats: int) -> int:
        world = rank_and_world()[1]
        samples = len(self.members[0]) * repeats * (1 + self.ratio)
        return max(1, round(samples / (batch_size * world))) * world

    def draw(self, batch_size: int, repeats: int, epoch: int, random: np.random.Generator) -> np.ndarray:
        count = self.batches(batch_size, repeats)
        share = self.ratio / (1 + self.ratio)
        # Of the samples up to the end of each batch so many are of the source; so the whole epoch is exact as well.
        ends = np.floor(np.arange(count + 1) * batch_size * share + 0.5).astype(int)
        real, other = (
            _rounds(members, number, random)
            for members, number in zip(self.members, (count * batch_size - ends[-1], ends[-1]), strict=True)
        )
        batches = []
        for number in range(count):
            start, end = ends[number], ends[number + 1]
            own = real[number * batch_size - start : (number + 1) * batch_size - end]
            batches.append(random.permutation(np.concatenate([own, other[start:end]])))
        return np.stack(batches)


def _rounds(members: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """So many of the members, each as often as the others or once more."""
    rounds = [random.permutation(members) for _ in range(-(-number // len(members)))]
    return np.concatenate([*rounds, members[:0]])[:number]
