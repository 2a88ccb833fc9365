"""Pairs of images for siamese networks: each image with one of its class, and with its hardest one of another class.

As in the kernels of Humpback Whale 2018/19: every few epochs, the network scores all pairs, and a linear assignment
gives each image the most similar partner of another class, such that all partners differ. Noise on the scores, large at
first, keeps an untrained network from seeing only its own mistakes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from datamodules.samplers.ranks import rank_and_world
from datamodules.samplers.resumable import ResumableSampler


class PairDraw(NamedTuple):
    """One training pair: indices of two images, whether they are of the same class, and the seed of its randomness."""

    index: int
    other: int
    same: bool
    seed: int


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly random permutation of `0 … count − 1` without fixed points.

    Raises:
        ValueError: if `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"count is {count}, but a derangement needs 2 or more")
    while True:  # on average, every third permutation is one
        order = rng.permutation(count)
        if (order != np.arange(count)).all():
            return order


def matches(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return pairs `(M, 2)` of images of the same class, each image once on either side; single images have none."""
    pairs = []
    for members in class_members(classes):
        if len(members) > 1:
            pairs.append(np.stack([members, members[derangement(len(members), rng)]], axis=1))
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)


def hard_partners(
    scores: np.ndarray, classes: np.ndarray, noise: float, rng: np.random.Generator, used: np.ndarray | None = None
) -> np.ndarray:
    """Return a partner of another class for each image, such that all partners differ and the sum of scores is highest.

    Takes 0.4 s for 1 000 images and 15 s for 4 000 on one core, and grows almost with the cube of their number.

    Args:
        scores: `(N, N)` predicted probability that images i and j are of the same class.
        classes: `(N,)` class of each image, of any type.
        noise: maximum of uniform noise added to the scores; far above 1 the pairs are random.
        rng: generator of the noise.
        used: `(epochs, N)` partners of previous epochs that must not occur again, in either order.

    Returns:
        `(N,)` partner of each image, a permutation.

    Raises:
        ValueError: if a class has more than half of all images, so that partners cannot all differ, or all pairs have
            been used.
    """
    check_classes(classes)
    cost = -(np.asarray(scores, np.float64) + noise * rng.random(scores.shape))
    _, numbers = np.unique(classes, return_inverse=True)
    cost[numbers[:, None] == numbers[None]] = np.inf  # including the image itself
    for partners in used if used is not None else ():
        cost[np.arange(len(cost)), partners] = np.inf
        cost[partners, np.arange(len(cost))] = np.inf
    try:
        return linear_sum_assignment(cost)[1]
    except ValueError as error:
        raise ValueError(
            f"{len(cost)} images have no unused pairs of different classes after {0 if used is None else len(used)} "
            "epochs; lower callbacks.HardPairs.every to score them earlier"
        ) from error


def fixed_pairs(classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return validation pairs `(P, 2)`, and which are of one class: every image with one of its class and of another.

    If a class has more than half of all images, partners of other classes may repeat.

    Raises:
        ValueError: if there is only one class, or no class with two images.
    """
    rng = np.random.default_rng([seed, 4])
    same = matches(classes, rng)
    members = class_members(classes)
    if len(members) < 2 or not len(same):
        raise ValueError(
            f"the validation fold has {len(classes)} images of {len(members)} classes, and {len(same)} pairs of one "
            "class; pairs need two classes, and a class with two images. Stratify the folds (cv.stratify)"
        )
    if 2 * max(map(len, members)) <= len(classes):
        others = hard_partners(np.zeros((len(classes),) * 2), classes, 1.0, rng)
    else:
        others = np.array([rng.choice(np.flatnonzero(classes != name)) for name in classes])
    pairs = np.concatenate([same, np.stack([np.arange(len(classes)), others], axis=1)])
    return pairs, np.arange(len(pairs)) < len(same)


def check_classes(classes: np.ndarray) -> None:
    """Check that all images can have different partners of other classes.

    Raises:
        ValueError: if there are fewer than two classes, or one has more than half of all images.
    """
    names, counts = np.unique(classes, return_counts=True)
    largest = counts.max() if len(counts) else 0
    if len(names) < 2 or 2 * largest > len(classes):
        which = f"class {names[counts.argmax()]} has {largest} of {len(classes)} images" if len(names) else "no images"
        raise ValueError(
            f"pairs: {which}; each image needs its own partner from another class, so no class may have more than half "
            "of the images. Remove some of its images (data.train_ids)"
        )


def class_members(classes: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the images of each class."""
    return [np.flatnonzero(classes == name) for name in np.unique(classes)]


class HardPairSampler(ResumableSampler[PairDraw]):
    """Pairs of an epoch: every image once with one of its class and once with one of another; shuffled, in shards.

    Partners of other classes are random until `plan` is called with scores. The draws of an epoch depend only on the
    seed, the epoch and the planned partners, so they are the same for any number of ranks and after a resume.

    Args:
        classes: class of each image.
        seed: seed of pairs, order and augmentation.

    Raises:
        ValueError: if a class has more than half of all images.
    """

    def __init__(self, classes: np.ndarray, seed: int = 0) -> None:
        super().__init__()
        self.classes, self.seed = np.asarray(classes), seed
        check_classes(self.classes)
        self.partners: np.ndarray | None = None  # (epochs, N), starting with epoch `begun`
        self.begun = 0
        self.matched = sum(len(members) for members in class_members(self.classes) if len(members) > 1)

    def plan(self, scores: np.ndarray, epoch: int, epochs: int, noise: float) -> None:
        """Choose the partners of other classes for some epochs, without repeated pairs.

        Args:
            scores: see `hard_partners`.
            epoch: first epoch.
            epochs: number of epochs, until the pairs are scored again.
            noise: see `hard_partners`.
        """
        rng = np.random.default_rng([self.seed, epoch, 1])
        found = np.zeros((0, len(self.classes)), np.int64)
        for _ in range(epochs):
            found = np.vstack([found, hard_partners(scores, self.classes, noise, rng, found)])
        self.partners, self.begun = found, epoch

    def is_planned(self, epoch: int) -> bool:
        """Return whether partners of other classes in this epoch are chosen by scores."""
        return self.partners is not None and 0 <= epoch - self.begun < len(self.partners)

    def strangers(self) -> np.ndarray:
        """Return the partner of another class of each image in this epoch."""
        if self.is_planned(self.epoch):
            return self.partners[self.epoch - self.begun]
        zeros = np.zeros((len(self.classes),) * 2, np.float32)
        return hard_partners(zeros, self.classes, 1.0, np.random.default_rng([self.seed, self.epoch, 2]))

    def state_dict(self) -> dict[str, Any]:
        """Return the planned partners for a checkpoint, as a tensor, which can be loaded without running code."""
        planned = None if self.partners is None else torch.from_numpy(self.partners.copy())
        return {"partners": planned, "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the pairs of a checkpoint.

        Raises:
            ValueError: if they are pairs of another number of images.
        """
        if state["partners"] is None:
            return
        if state["partners"].shape[1] != len(self.classes):
            raise ValueError(
                f"the checkpoint has pairs of {state['partners'].shape[1]} images, but there are {len(self.classes)} "
                "now; train on the same fold, or start a new run from its weights with model.init_from"
            )
        self.partners, self.begun = state["partners"].numpy().copy(), state["begun"]

    def __len__(self) -> int:
        return (self.matched + len(self.classes)) // rank_and_world()[1]

    def draws(self) -> Iterator[PairDraw]:
        rank, world = rank_and_world()
        rng = np.random.default_rng([self.seed, self.epoch])
        same = matches(self.classes, rng)
        strange = np.stack([np.arange(len(self.classes)), self.strangers()], axis=1)
        pairs = np.concatenate([same, strange])
        order = rng.permutation(len(pairs))
        seeds = rng.integers(2**31, size=len(pairs))
        for place in range(rank, len(self) * world, world):
            one, other = pairs[order[place]]
            yield PairDraw(int(one), int(other), bool(order[place] < len(same)), int(seeds[place]))
