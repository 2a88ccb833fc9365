"""Samplers that divide the draws among ranks themselves."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from datamodules.samplers.order import Order
from datamodules.samplers.ranks import rank_and_world
from datamodules.samplers.resumable import ResumableSampler


class Draw(NamedTuple):
    """One training sample: index of the image, and the seed of its randomness.

    The seed depends on the run's seed, the epoch and the position in it. So augmentation is the same for any number of
    workers, differs between epochs and between two draws of one image, and repeats with the run's seed.
    """

    index: int
    seed: int


class TrainingSampler(ResumableSampler[Draw]):
    """Shuffled draws, `repeats` of each image per epoch, in disjoint shards of equal length.

    Args:
        size: number of images.
        repeats: draws of each image per epoch.
        seed: seed of order and augmentation.
        order: draws in whole batches, instead of shuffled rounds.
        batch_size: samples per batch and rank; used only by `order`.
    """

    def __init__(
        self, size: int, repeats: int = 1, seed: int = 0, order: Order | None = None, batch_size: int = 1
    ) -> None:
        super().__init__()
        self.size, self.repeats, self.seed = size, repeats, seed
        self.order, self.batch_size = order, batch_size

    def __len__(self) -> int:
        # Equal shards: every rank must take the same number of steps. The dropped remainder changes every epoch.
        if self.order is not None:
            return self.order.batches(self.batch_size, self.repeats) // rank_and_world()[1] * self.batch_size
        return self.size * self.repeats // rank_and_world()[1]

    def draws(self) -> Iterator[Draw]:
        rank, world = rank_and_world()
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.order is not None:
            batches = self.order.draw(self.batch_size, self.repeats, self.epoch, rng)
            seeds = rng.integers(2**31, size=batches.shape)
            for batch in range(rank, len(batches) // world * world, world):
                yield from (Draw(int(one), int(seed)) for one, seed in zip(batches[batch], seeds[batch], strict=True))
            return
        # Whole rounds over the images spread the repeats of an image over the epoch.
        order = np.concatenate([rng.permutation(self.size) for _ in range(self.repeats)])
        seeds = rng.integers(2**31, size=len(order))
        for place in range(rank, len(self) * world, world):
            yield Draw(int(order[place]), int(seeds[place]))


class EvaluationSampler(Sampler[int]):
    """All images in order, divided among ranks; the first ones are repeated until all ranks have the same number.

    Results must be deduplicated by image id.

    Args:
        size: number of images.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return -(-self.size // rank_and_world()[1])

    def __iter__(self) -> Iterator[int]:
        rank, world = rank_and_world()
        for place in range(rank, len(self) * world, world):
            yield place % self.size
