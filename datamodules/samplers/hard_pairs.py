"""Pairs of images for siamese networks: each image with one of its class, and with its hardest stranger.

The kernels of Humpback Whale 2018/19 worked so: every few epochs all pairs are scored by the network as it is, and a
linear assignment gives each image the partner of another class that looks most alike, such that all partners differ.
Noise on the scores, large at first, keeps an untrained network from being fed its own blind spots.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.utils.data import Sampler

from datamodules.samplers.ranks import rank_and_world


class PairDraw(NamedTuple):
    """One training pair to make: two images, whether they are of one class, and the seed of all its randomness."""

    index: int
    other: int
    same: bool
    seed: int


def derangement(count: int, random: np.random.Generator) -> np.ndarray:
    """A permutation of `0 … count − 1` that leaves nothing in its place, each as likely as any other.

    Raises:
        ValueError: a single thing has no other place.
    """
    if count < 2:
        raise ValueError(f"{count} things have no derangement, expected 2 or more")
    while True:  # every third draw is one, on average
        order = random.permutation(count)
        if (order != np.arange(count)).all():
            return order


def matches(classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pairs `(M, 2)` of images of one class; each image once on either side. Images alone in their class have none."""
    pairs = []
    for members in class_members(classes):
        if len(members) > 1:
            pairs.append(np.stack([members, members[derangement(len(members), random)]], axis=1))
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)


def hard_partners(
    scores: np.ndarray, classes: np.ndarray, noise: float, random: np.random.Generator, used: np.ndarray | None = None
) -> np.ndarray:
    """For each image its partner of another class, such that all partners differ and their scores sum up highest.

    It takes 0.4 s for 1 000 images and 15 s for 4 000 on one core, and grows almost with the cube of their number.

    Args:
        scores: `(N, N)`, how much the network takes image i and j for the same, in 0..1.
        classes: `(N,)` class of each image, of any type.
        noise: uniform noise in 0..noise is added to the scores; far above 1 the pairs are random.
        random: draws the noise.
        used: `(epochs, N)` partners of epochs before that must not come again, in either order.

    Returns:
        `(N,)` partner of each image, a permutation.

    Raises:
        ValueError: one class has more than half of all images, whose partners cannot all differ; or every pair that is
            left has been used.
    """
    check_classes(classes)
    cost = -(np.asarray(scores, np.float64) + noise * random.random(scores.shape))
    _, numbers = np.unique(classes, return_inverse=True)
    cost[numbers[:, None] == numbers[None]] = np.inf  # itself, too
    for partners in used if used is not None else ():
        cost[np.arange(len(cost)), partners] = np.inf
        cost[partners, np.arange(len(cost))] = np.inf
    try:
        return linear_sum_assignment(cost)[1]
    except ValueError as error:
        raise ValueError(
            f"{len(cost)} images have no pairs of different classes left after {0 if used is None else len(used)} "
            "epochs; score them again earlier (callbacks.HardPairs.every)"
        ) from error


def fixed_pairs(classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs `(P, 2)` to validate, and whether each is of one class: every image with one of its own and a stranger.

    A class with more than half of all images cannot give each a stranger of its own: then they are drawn one by one.

    Raises:
        ValueError: a single class, or no class with two images.
    """
    random = np.random.default_rng([seed, 4])
    same = matches(classes, random)
    members = class_members(classes)
    if len(members) < 2 or not len(same):
        raise ValueError(
            f"the validation fold has {len(classes)} images of {len(members)} classes, and {len(same)} pairs of one "
            "class; pairs need two classes, and two images of some. Stratify the folds (cv.stratify)"
        )
    if 2 * max(map(len, members)) <= len(classes):
        others = hard_partners(np.zeros((len(classes),) * 2), classes, 1.0, random)
    else:
        others = np.array([random.choice(np.flatnonzero(classes != name)) for name in classes])
    pairs = np.concatenate([same, np.stack([np.arange(len(classes)), others], axis=1)])
    return pairs, np.arange(len(pairs)) < len(same)


def check_classes(classes: np.ndarray) -> None:
    """Raise where partners of other classes cannot all differ.

    Raises:
        ValueError: fewer than two classes, or one with more than half of all images.
    """
    names, counts = np.unique(classes, return_counts=True)
    largest = counts.max() if len(counts) else 0
    if len(names) < 2 or 2 * largest > len(classes):
        which = f"class {names[counts.argmax()]} has {largest} of {len(classes)} images" if len(names) else "no images"
        raise ValueError(
            f"pairs: {which}; each image needs a partner of its own from another class, so no class may have more than "
            "half of them. Leave some of its images out (data.train_ids)"
        )


def class_members(classes: np.ndarray) -> list[np.ndarray]:
    """Numbers of the images of each class."""
    return [np.flatnonzero(classes == name) for name in np.unique(classes)]


class HardPairSampler(Sampler[PairDraw]):
    """Pairs of an epoch: every image once with one of its class, once with a stranger; shuffled, in disjoint shards.

    Strangers are random until `plan` has been given scores. The draws of an epoch follow from the seed, the epoch and
    the planned partners, and so are the same for any number of ranks and repeat after a resume.

    Args:
        classes: class of each image.
        seed: of pairs, order and augmentation.

    Raises:
        ValueError: a class with more than half of all images.
    """

    def __init__(self, classes: np.ndarray, seed: int = 0) -> None:
        self.classes, self.seed, self.epoch = np.asarray(classes), seed, 0
        check_classes(self.classes)
        self.partners: np.ndarray | None = None  # (epochs, N), from `begun` on
        self.begun = 0
        self.matched = sum(len(members) for members in class_members(self.classes) if len(members) > 1)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def plan(self, scores: np.ndarray, epoch: int, epochs: int, noise: float) -> None:
        """Fix the strangers of some epochs; no pair comes twice in them.

        Args:
            scores: as in `hard_partners`.
            epoch: the first one.
            epochs: how many, until the pairs are scored again.
            noise: as in `hard_partners`.
        """
        random = np.random.default_rng([self.seed, epoch, 1])
        found = np.zeros((0, len(self.classes)), np.int64)
        for _ in range(epochs):
            found = np.vstack([found, hard_partners(scores, self.classes, noise, random, found)])
        self.partners, self.begun = found, epoch

    def is_planned(self, epoch: int) -> bool:
        """Whether the strangers of this epoch come from scores."""
        return self.partners is not None and 0 <= epoch - self.begun < len(self.partners)

    def strangers(self) -> np.ndarray:
        """Partner of another class of each image in this epoch."""
        if self.is_planned(self.epoch):
            return self.partners[self.epoch - self.begun]
        zeros = np.zeros((len(self.classes),) * 2, np.float32)
        return hard_partners(zeros, self.classes, 1.0, np.random.default_rng([self.seed, self.epoch, 2]))

    def state_dict(self) -> dict[str, Any]:
        """The planned partners, for a checkpoint, as a tensor: a checkpoint is read without running code."""
        planned = None if self.partners is None else torch.from_numpy(self.partners.copy())
        return {"partners": planned, "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the pairs of a checkpoint.

        Raises:
            ValueError: they are pairs of another number of images.
        """
        if state["partners"] is None:
            return
        if state["partners"].shape[1] != len(self.classes):
            raise ValueError(
                f"the checkpoint planned pairs of {state['partners'].shape[1]} images, there are {len(self.classes)} "
                "now; train on the same fold, or start anew from its weights with model.init_from"
            )
        self.partners, self.begun = state["partners"].numpy().copy(), state["begun"]

    def __len__(self) -> int:
        return (self.matched + len(self.classes)) // rank_and_world()[1]

    def __iter__(self) -> Iterator[PairDraw]:
        rank, world = rank_and_world()
        random = np.random.default_rng([self.seed, self.epoch])
        same = matches(self.classes, random)
        strange = np.stack([np.arange(len(self.classes)), self.strangers()], axis=1)
        pairs = np.concatenate([same, strange])
        order = random.permutation(len(pairs))
        seeds = random.integers(2**31, size=len(pairs))
        for place in range(rank, len(self) * world, world):
            one, other = pairs[order[place]]
            yield PairDraw(int(one), int(other), bool(order[place] < len(same)), int(seeds[place]))
