"""What metrics of ranked objects share: overlaps of boxes, who has found whom, average precision."""

from typing import NamedTuple

import numpy as np

from evaluation.metrics.base import Arrays, named


class Ranked(NamedTuple):
    """The detections of one image, and how many objects it has.

    Attributes:
        detections: `(n, 3)` float64: class, score, and 1 for a detection that has found an object.
        objects: `(K,)` float64: true objects of each class.
    """

    detections: np.ndarray
    objects: np.ndarray


def box_overlaps(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of every predicted box with every true one, `(predicted, true)` float64.

    Args:
        predicted: `(n, 4+)`: x1, y1, x2, y2, the far side excluded, and whatever follows.
        true: `(m, 4+)`.
    """
    one, other = predicted[:, None, :4].astype(np.float64), true[None, :, :4].astype(np.float64)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    total = np.prod(one[..., 2:] - one[..., :2], axis=-1) + np.prod(other[..., 2:] - other[..., :2], axis=-1) - shared
    return np.divide(shared, total, out=np.zeros(shared.shape), where=total > 0)


def ignored_overlaps(
    predicted: np.ndarray, ignored: np.ndarray, by_class: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """How far each detection lies in what need not be found: its highest share in a crowd, its highest IoU with others.

    Detections that have found no object and reach the threshold here are neither right nor wrong: COCO's rule for
    crowds (https://github.com/cocodataset/cocoapi, `iscrowd`), VOC's for difficult objects.

    Args:
        predicted: `(n, 6)`: x1, y1, x2, y2, score, label.
        ignored: `(m, 6)` of `ignored_boxes`: x1, y1, x2, y2, label, and 1 for a crowd.
        by_class: whether only regions of the detection's own class count.

    Returns:
        Both `(n,)` float64 in 0..1, rounded, so that an overlap of exactly the threshold is no matter of the last bit.
    """
    one, other = predicted[:, None, :4], ignored[None, :, :4]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    area = np.prod(one[..., 2:] - one[..., :2], axis=-1)
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    share = np.divide(shared, area, out=np.zeros(shared.shape), where=area > 0)
    counted = predicted[:, None, 5] == ignored[None, :, 4] if by_class else np.ones(shared.shape, bool)
    crowd = ignored[None, :, 5] > 0
    highest = np.where(counted & crowd, share, 0).max(axis=1, initial=0)
    iou = np.where(counted & ~crowd, box_overlaps(predicted, ignored), 0).max(axis=1, initial=0)
    return np.round(highest, 9), np.round(iou, 9)


def first_come(overlap: np.ndarray, scores: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Which detections have found an object as PASCAL VOC has it, bool `(n,)`.

    By falling score each detection asks for the object that it overlaps most. It has found it when the overlap is
    enough and nobody has been there before.

    Args:
        overlap: IoU `(n, m)`.
        scores: `(n,)`; of equal ones the first comes first.
        reached: bool `(n, m)`, where the overlap is enough.
    """
    found = np.zeros(len(overlap), bool)
    if overlap.size:
        best, taken = overlap.argmax(axis=1), np.zeros(overlap.shape[1], bool)
        for number in np.argsort(-scores, kind="stable"):
            wanted = best[number]
            if reached[number, wanted] and not taken[wanted]:
                found[number] = taken[wanted] = True
    return found


def average_precision(scores: np.ndarray, found: np.ndarray, objects: float) -> float:
    """Area under precision over recall, precision never rising with recall (PASCAL VOC since 2010); nan for no object.

    Args:
        scores: `(n,)` of all detections of a class in the set.
        found: bool `(n,)`.
        objects: how many there are to find.
    """
    if not objects:
        return float("nan")
    hits = np.cumsum(found[np.argsort(-scores, kind="stable")].astype(bool))
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * np.diff(hits, prepend=0)).sum() / objects)


def average_precisions(images: list[Ranked]) -> np.ndarray:
    """Average precision of each class over a set of images, `(K,)`; nan for a class without objects."""
    detections = np.concatenate([image.detections for image in images])
    objects = np.sum([image.objects for image in images], axis=0)
    classes = detections[:, 0].astype(int)
    return np.array(
        [
            average_precision(detections[classes == number, 1], detections[classes == number, 2], count)
            for number, count in enumerate(objects)
        ]
    )


def predicted_boxes(prediction: Arrays, name: str) -> np.ndarray:
    """The boxes `(n, 6)` float64 of a prediction: x1, y1, x2, y2, score, label."""
    boxes = np.asarray(named(prediction, name, "prediction"), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 6))
    if boxes.ndim != 2 or boxes.shape[1] != 6:
        raise ValueError(f"prediction {name!r} is {boxes.shape}, expected boxes (n, 6): x1, y1, x2, y2, score, label")
    if not np.isfinite(boxes).all():
        raise ValueError(f"prediction {name!r}: box {np.flatnonzero(~np.isfinite(boxes).all(1))[0]} is not finite")
    return boxes


def true_boxes(truth: Arrays, name: str, labels: str = "labels") -> np.ndarray:
    """The true boxes `(n, 5)` float64: x1, y1, x2, y2, label.

    Args:
        truth: holds `name` `(n, 4)` and `labels` `(n,)`, as the target `Boxes` gives them, or `name` `(n, 6)`, as a
            solution file does.
        name: of the boxes.
        labels: name of the class numbers; all 0 without such an array.
    """
    boxes = np.asarray(named(truth, name, "truth"), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 5))
    if boxes.ndim == 2 and boxes.shape[1] == 6:
        return boxes[:, [0, 1, 2, 3, 5]]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"truth {name!r} is {boxes.shape}, expected boxes (n, 4), or (n, 6) of a solution file")
    classes = np.asarray(truth.get(labels, np.zeros(len(boxes))), np.float64)
    if classes.shape != (len(boxes),):
        raise ValueError(f"truth {labels!r} is {classes.shape} for {len(boxes)} boxes of {name!r}")
    return np.column_stack([boxes, classes])


def ignored_boxes(truth: Arrays, name: str) -> np.ndarray:
    """What need not be found, `(m, 6)` float64: x1, y1, x2, y2, label, and 1 for a crowd, 0 for a difficult object.

    Args:
        truth: may hold `ignored_<name>` `(m, 4)`, and beside it `ignored_labels` `(m,)`, all 0 without, and
            `ignored_crowd` `(m,)`, all 1 without, as the target `Boxes` gives them.
        name: of the true boxes.
    """
    boxes = np.asarray(truth.get(f"ignored_{name}", np.zeros((0, 4))), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 6))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"truth 'ignored_{name}' is {boxes.shape}, expected boxes (m, 4)")
    labels = np.asarray(truth.get("ignored_labels", np.zeros(len(boxes))), np.float64)
    crowd = np.asarray(truth.get("ignored_crowd", np.ones(len(boxes))), np.float64)
    if labels.shape != (len(boxes),) or crowd.shape != (len(boxes),):
        raise ValueError(
            f"truth 'ignored_labels' is {labels.shape} and 'ignored_crowd' {crowd.shape} for {len(boxes)} boxes of "
            f"'ignored_{name}'"
        )
    return np.column_stack([boxes, labels, crowd])
