"""Class-aware sampling: draw a class first, then an image of it."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, classes_of


class ClassAware(Order):
    """Draws every class equally often, within one image; within a class, every image is drawn before any repeats.

    Shen et al. 2016 (https://arxiv.org/abs/1512.05830), second place of Places2. The list of a class continues across
    epochs, reshuffled each time it ends; the draws of an epoch depend only on its number, so a resumed run, and every
    rank, draws the same.

    Args:
        column: column of the class, from a CSV in `data.metadata`, or `folder`.
        separator: separator of several classes in one field; the image is then in the list of each.
        seed: seed of the orders within the classes.
    """

    def __init__(self, column: str, separator: str | None = None, seed: int = 0) -> None:
        self.column, self.separator, self.seed = column, separator, seed
        self.members: list[np.ndarray] = []
        self.size = 0

    def prepare(self, table: pd.DataFrame) -> None:
        classes = classes_of(table, self.column, self.separator, "ClassAware")
        lists: dict[object, list[int]] = {}
        for index, each in enumerate(classes):
            for name in dict.fromkeys(each):
                lists.setdefault(name, []).append(index)
        self.members = [np.array(lists[name]) for name in sorted(lists, key=str)]
        self.size = len(table)

    def batches(self, batch_size: int, repeats: int) -> int:
        return max(1, self.size * repeats // batch_size)

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        total, classes = self.batches(batch_size, repeats) * batch_size, len(self.members)
        each, more = divmod(total, classes)
        drawn = []
        for number, members in enumerate(self.members):
            # The `more` classes with an additional draw rotate, so that all classes are equally frequent over epochs.
            start, end = (at * each + (at * more + classes - 1 - number) // classes for at in (epoch, epoch + 1))
            drawn.append(self._stretch(number, members, start, end))
        return rng.permutation(np.concatenate(drawn)).reshape(-1, batch_size)

    def _stretch(self, number: int, members: np.ndarray, start: int, end: int) -> np.ndarray:
        """Return elements `start` to `end` of the endless list of a class."""
        first, last = start // len(members), -(-end // len(members))
        rounds = [np.random.default_rng([self.seed, number, at]).permutation(members) for at in range(first, last)]
        return np.concatenate([*rounds, members[:0]])[start - first * len(members) : end - first * len(members)]
