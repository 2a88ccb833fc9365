"""Objects for a second-level model, and the parts that they may be split into.

After the 2018 Data Science Bowl's 1st place (topcoders): LightGBM predicts the IoU of every object with its target from
about 50 features; objects with a low predicted IoU are dropped, those whose parts are predicted to be better are split.
SpaceNet 4's 1st place filters buildings in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.object_overlaps import object_overlaps
from masks.components import label
from masks.ids import consecutive
from predictions.quantiser import to_steps


@dataclass(frozen=True)
class Objects:
    """Objects of an image, and the parts that they may be split into.

    Attributes:
        labels: instance maps int32 `(H, W)`: one of the unsplit objects, then one per level of splitting; ids are
            1 … n in each.
        parent: for each map the index `(n,)`, from 0, of the object that contains each id.
    """

    labels: list[np.ndarray]
    parent: list[np.ndarray]

    @property
    def count(self) -> int:
        """Number of feature rows: objects and parts of all levels."""
        return sum(map(len, self.parent))


def split_objects(
    instances: np.ndarray, body: np.ndarray, border: np.ndarray | None, levels: Sequence[float] = (0.6, 0.7, 0.8)
) -> Objects:
    """Split every object where its probabilities have several peaks.

    Seeds are the components of body · (1 − border) above the level inside the object; if there are two or more, they
    are flooded over the object downhill on −body.

    Args:
        instances: ids `(H, W)`, 0 is background; need not be consecutive.
        body: probabilities of bodies `(H, W)`.
        border: probabilities of touching borders `(H, W)`, or None.
        levels: probability thresholds of the seeds.
    """
    from scipy.ndimage import find_objects
    from skimage.segmentation import watershed

    labels = consecutive(instances)[0]
    places = find_objects(labels)
    score = body if border is None else body * (1 - border)
    found, parents = [labels], [np.arange(len(places))]
    for level in levels:
        parts = np.zeros_like(labels)
        parent: list[int] = []
        for number, place in enumerate(places):
            inside = labels[place] == number + 1
            seeds = label((score[place] > level) & inside)
            count = int(seeds.max(initial=0))
            if count > 1:
                grown = watershed(to_steps(1 - body[place]), seeds, mask=inside)
                view = parts[place]
                view[grown > 0] = grown[grown > 0] + len(parent)
                parent += [number] * count
        found.append(parts)
        parents.append(np.array(parent, np.intp))
    return Objects(found, parents)


def overlaps(objects: Objects, target: np.ndarray) -> np.ndarray:
    """Highest IoU of every object and part with a true object, `(objects.count,)` float32; up to 0.5 counts as 0.

    This is the winners' target: above 0.5 a match is unique, and below an object is false, however near.

    Args:
        objects: objects of an image.
        target: true ids `(H, W)`.
    """
    best = np.concatenate([object_overlaps(labels, target).best_of_predicted() for labels in objects.labels])
    return np.where(best > 0.5, best, 0).astype(np.float32)


def choose(objects: Objects, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the best way to split each object.

    Parts replace an object if the mean of their scores is above the object's own, and above that of any earlier level.

    Args:
        objects: objects of an image.
        scores: predicted IoU of every object and part `(objects.count,)`.

    Returns:
        Ids 1 … n int32 `(H, W)`, and their scores `(n,)` float32.
    """
    starts = np.cumsum([0, *map(len, objects.parent)])
    own = [scores[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
    best, level_of = own[0].astype(float), np.zeros(len(own[0]), int)
    for level in range(1, len(own)):
        count = np.bincount(objects.parent[level], minlength=len(best))
        mean = np.bincount(objects.parent[level], own[level], len(best)) / np.maximum(count, 1)
        better = (count > 1) & (mean > best)
        best[better], level_of[better] = mean[better], level
    chosen, kept = np.zeros(objects.labels[0].shape, np.int32), [np.zeros(0)]
    for level, (labels, parent) in enumerate(zip(objects.labels, objects.parent, strict=True)):
        takes = level_of[parent] == level
        table = np.zeros(len(parent) + 1, np.int32)
        table[1:][takes] = sum(map(len, kept)) + 1 + np.arange(takes.sum())
        chosen += table[labels]
        kept.append(own[level][takes])
    return chosen, np.concatenate(kept).astype(np.float32)
