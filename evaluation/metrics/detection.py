"""Shared parts of detection metrics: box overlaps, matching, average precision."""

from typing import NamedTuple

import numpy as np

from evaluation.metrics.base import Arrays, require_array


class Ranked(NamedTuple):
    """Detections of one image, and the number of its objects.

    Attributes:
        detections: `(n, 3)` float64: class, score, and 1 if the detection matches an object.
        objects: `(K,)` float64: number of true objects of each class.
    """

    detections: np.ndarray
    objects: np.ndarray


def box_overlaps(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of every predicted box with every true one, `(predicted, true)` float64.

    Args:
        predicted: `(n, 4+)`: x1, y1, x2, y2, far side excluded; further columns are ignored.
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
    """Overlap of each detection with ignored regions: top share inside a crowd, top IoU with a difficult object.

    Unmatched detections that reach the threshold here are neither right nor wrong: COCO's rule for crowds
    (https://github.com/cocodataset/cocoapi, `iscrowd`), VOC's for difficult objects.

    Args:
        predicted: `(n, 6)`: x1, y1, x2, y2, score, label.
        ignored: `(m, 6)` of `ignored_boxes`: x1, y1, x2, y2, label, and 1 for a crowd.
        by_class: whether to consider only regions of the detection's own class.

    Returns:
        Both `(n,)` float64 in 0..1, rounded, so that an overlap equal to the threshold is not decided by rounding.
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
    """Which detections match an object under PASCAL VOC's rule, bool `(n,)`.

    By falling score each detection claims the object that it overlaps most. It is a match if the overlap is enough and
    the object has not been claimed before.

    Args:
        overlap: IoU `(n, m)`.
        scores: `(n,)`; equal scores keep their order.
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
    """Area under precision over recall, with monotone precision (PASCAL VOC since 2010); nan without objects.

    Args:
        scores: `(n,)` scores of all detections of a class in the set.
        found: bool `(n,)`, whether each is a match.
        objects: number of true objects.
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
    """Read the boxes of a prediction as `(n, 6)` float64: x1, y1, x2, y2, score, label."""
    boxes = np.asarray(require_array(prediction, name, "prediction"), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 6))
    if boxes.ndim != 2 or boxes.shape[1] != 6:
        raise ValueError(f"prediction {name!r} is {boxes.shape}, expected boxes (n, 6): x1, y1, x2, y2, score, label")
    if not np.isfinite(boxes).all():
        raise ValueError(f"prediction {name!r}: box {np.flatnonzero(~np.isfinite(boxes).all(1))[0]} is not finite")
    return boxes


def true_boxes(targets: Arrays, name: str, labels: str = "labels") -> np.ndarray:
    """Read the true boxes as `(n, 5)` float64: x1, y1, x2, y2, label.

    Args:
        targets: target arrays with `name` `(n, 4)` and `labels` `(n,)`, as from the target `Boxes`, or `name` `(n, 6)`,
            as from a solution file.
        name: name of the boxes.
        labels: name of the labels; all 0 if the array is missing.
    """
    boxes = np.asarray(require_array(targets, name, "target"), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 5))
    if boxes.ndim == 2 and boxes.shape[1] == 6:
        return boxes[:, [0, 1, 2, 3, 5]]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"target {name!r} is {boxes.shape}, expected boxes (n, 4), or (n, 6) from a solution file")
    classes = np.asarray(targets.get(labels, np.zeros(len(boxes))), np.float64)
    if classes.shape != (len(boxes),):
        raise ValueError(
            f"target {labels!r} is {classes.shape}, expected ({len(boxes)},): one label per box of {name!r}"
        )
    return np.column_stack([boxes, classes])


def ignored_boxes(targets: Arrays, name: str) -> np.ndarray:
    """Read ignored regions as `(m, 6)` float64: x1, y1, x2, y2, label, and 1 for a crowd, 0 for a difficult object.

    Args:
        targets: target arrays, optionally with `ignored_<name>` `(m, 4)`, `ignored_labels` `(m,)` (default: all 0) and
            `ignored_crowd` `(m,)` (default: all 1), as from the target `Boxes`.
        name: name of the true boxes.
    """
    boxes = np.asarray(targets.get(f"ignored_{name}", np.zeros((0, 4))), np.float64)
    if boxes.size == 0:
        return np.zeros((0, 6))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"target 'ignored_{name}' is {boxes.shape}, expected boxes (m, 4)")
    labels = np.asarray(targets.get("ignored_labels", np.zeros(len(boxes))), np.float64)
    crowd = np.asarray(targets.get("ignored_crowd", np.ones(len(boxes))), np.float64)
    if labels.shape != (len(boxes),) or crowd.shape != (len(boxes),):
        raise ValueError(
            f"target 'ignored_labels' is {labels.shape} and 'ignored_crowd' {crowd.shape} for {len(boxes)} boxes of "
            f"'ignored_{name}'"
        )
    return np.column_stack([boxes, labels, crowd])
