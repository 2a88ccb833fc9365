"""A class first, then an image of it."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, classes_of


class ClassAware(Order):
    """Every class equally often, to one image more or less; within a class every image before one comes again.

    Shen et al. 2016 (https://arxiv.org/abs/1512.05830), second place of Places2. The list of a class goes on from epoch
    to epoch, in a new order each time it is through; what an epoch draws depends on its number alone, so that a resumed
    run, and every rank, draws the same.

    Args:
        column: of the table, that holds the class: of a CSV in `data.metadata`, or `folder`.
        separator: between the classes of one field; an image is then in the list of each of them.
        seed: of the orders within the classes.
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

    def draw(self, batch_size: int, repeats: int, epoch: int, random: np.random.Generator) -> np.ndarray:
        total, classes = self.batches(batch_size, repeats) * batch_size, len(self.members)
        each, more = divmod(total, classes)
        drawn = []
        for number, members in enumerate(self.members):
            # the `more` classes that come once more go round, so that over the epochs all come equally often
            start, end = (at * each + (at * more + classes - 1 - number) // classes for at in (epoch, epoch + 1))
            drawn.append(self._stretch(number, members, start, end))
        return random.permutation(np.concatenate(drawn)).reshape(-1, batch_size)

    def _stretch(self, number: int, members: np.ndarray, start: int, end: int) -> np.ndarray:
        """Places `start` to `end` of the endless list of a class."""
        first, last = start // len(members), -(-end // len(members))
        rounds = [np.random.default_rng([self.seed, number, at]).permutation(members) for at in range(first, last)]
        return np.concatenate([*rounds, members[:0]])[start - first * len(members) : end - first * len(members)]
