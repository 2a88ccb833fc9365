"""Several samples of a class in every batch, for losses over pairs."""

import numpy as np
import pandas as pd

from datamodules.samplers.order import Order, column_of


class SamplesPerClass(Order):
    """Batches of groups: `samples` images of one class each, of different classes if possible.

    Every image is drawn once per round, except in groups that do not fill a whole batch; the last group of a class is
    filled up with images of that class, so a class of one image is paired with itself under another augmentation.
    N-pairs and triplet losses need it.

    Args:
        column: column of the class, from a CSV in `data.metadata`, or `folder`.
        samples: number of images of a class in a group; 4 in the Humpback Whale kernels, at least 2 for pairs.

    Raises:
        ValueError: if a batch is too small for two groups.
    """

    def __init__(self, column: str, samples: int = 4) -> None:
        if samples < 2:
            raise ValueError(f"SamplesPerClass: samples is {samples}, expected 2 or more")
        self.column, self.samples = column, samples
        self.members: list[np.ndarray] = []

    def prepare(self, table: pd.DataFrame) -> None:
        values = column_of(table, self.column, "SamplesPerClass")
        self.members = [np.flatnonzero(values == name) for name in pd.unique(values)]
        if len(self.members) < 2:
            raise ValueError(f"SamplesPerClass: column {self.column!r} has 1 class, expected 2 or more")

    def batches(self, batch_size: int, repeats: int) -> int:
        groups = sum(-(-len(members) // self.samples) for members in self.members) * repeats
        return max(1, groups // self._groups(batch_size))

    def draw(self, batch_size: int, repeats: int, epoch: int, rng: np.random.Generator) -> np.ndarray:
        queues = []
        for members in self.members:
            groups = []
            for _ in range(repeats):
                order = rng.permutation(members)
                lacking = -len(order) % self.samples
                filled = np.concatenate([order, rng.choice(members, lacking)]) if lacking else order
                groups += list(filled.reshape(-1, self.samples))
            queues.append(groups)
        wanted, result = self._groups(batch_size), []
        for _ in range(self.batches(batch_size, repeats)):
            # Classes with the most remaining groups go first, so that the last batches are not of one class.
            left = np.array([len(queue) for queue in queues])
            order = np.lexsort([rng.random(len(queues)), -left])
            chosen = [number for number in order if left[number]][:wanted]
            while len(chosen) < wanted:  # fewer classes than groups in a batch
                chosen.append(int(rng.choice(len(queues))))
            batch = [
                queues[number].pop() if queues[number] else rng.choice(self.members[number], self.samples)
                for number in chosen
            ]
            result.append(np.concatenate(batch))
        return np.stack(result)[rng.permutation(len(result))]

    def _groups(self, batch_size: int) -> int:
        if batch_size % self.samples or batch_size < 2 * self.samples:
            raise ValueError(
                f"SamplesPerClass: data.batch_size is {batch_size}, expected a multiple of samples ({self.samples}), "
                f"{2 * self.samples} or more"
            )
        return batch_size // self.samples
