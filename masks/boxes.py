"""Boxes of one or several detectors: suppression, weighted fusion, scores and sizes.

Boxes are `(N, 6)` float arrays `[x1, y1, x2, y2, score, label]`, in pixels or relative to the image size; results have
the highest score first. Boxes of different labels do not interact.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np


def as_boxes(boxes: np.ndarray) -> np.ndarray:
    """Validate boxes and copy them as float64 `(N, 6)`.

    Raises:
        ValueError: wrong shape, non-finite numbers, or swapped corners; names the row.
    """
    array = np.array(boxes, np.float64)
    if not array.size:
        return np.zeros((0, 6))
    if array.ndim != 2 or array.shape[1] != 6:
        raise ValueError(f"boxes are {array.shape}, expected (N, 6): x1, y1, x2, y2, score, label")
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1) | (array[:, 2] < array[:, 0]) | (array[:, 3] < array[:, 1]))
    if len(wrong):
        raise ValueError(f"box {wrong[0]} is {array[wrong[0]].tolist()}; expected finite x1 <= x2 and y1 <= y2")
    return array


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others `(N, 4+)`, `(N,)`; 0 if both have no area."""
    sides = np.minimum(box[2:4], others[:, 2:4]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    total = np.prod(box[2:4] - box[:2]) + np.prod(others[:, 2:4] - others[:, :2], axis=1) - shared
    return np.divide(shared, total, out=np.zeros(len(others)), where=total > 0)


def nms(boxes: np.ndarray, iou: float = 0.5) -> np.ndarray:
    """Non-maximum suppression: remove boxes that overlap a better one of their label by more than `iou`.

    Args:
        boxes: boxes `(N, 6)`; concatenated if from several detectors.
        iou: IoU up to which both boxes stay. RSNA pneumonia's 1st place: 0.4.
    """
    boxes = _best_first(as_boxes(boxes))
    alive, kept = np.ones(len(boxes), bool), []
    for number, box in enumerate(boxes):
        if alive[number]:
            kept.append(number)
            alive &= (boxes[:, 5] != box[5]) | (overlaps(box, boxes) <= iou)
    return boxes[kept]


def soft_nms(
    boxes: np.ndarray,
    method: Literal["linear", "gaussian"] = "gaussian",
    iou: float = 0.3,
    sigma: float = 0.5,
    least: float = 0.001,
) -> np.ndarray:
    """Soft-NMS (Bodla et al. 2017): overlapping boxes lose score instead of being removed.

    Args:
        boxes: boxes `(N, 6)`.
        method: `linear` multiplies scores by 1 - IoU where that is above `iou`, `gaussian` all by exp(-IoU² / sigma).
        iou: threshold of `linear` (default: 0.3, as in the paper).
        sigma: width of `gaussian` (default: 0.5, as in the paper).
        least: smallest score to keep.
    """
    decay = _decay(method, iou, sigma)
    left, kept = as_boxes(boxes), []
    while len(left):
        best = left[:, 4].argmax()
        box, left = left[best], np.delete(left, best, axis=0)
        if box[4] < least:
            break
        kept.append(box)
        near = left[:, 5] == box[5]
        left[near, 4] *= decay(overlaps(box, left[near]))
    return _best_first(np.stack(kept)) if kept else np.zeros((0, 6))


def weighted_box_fusion(
    detections: Sequence[np.ndarray],
    weights: Sequence[float] | np.ndarray | None = None,
    iou: float = 0.55,
    least: float = 0.0,
) -> np.ndarray:
    """Weighted box fusion (Solovyev et al. 2019): the mean of all boxes of an object, weighted by their scores.

    Each box, best first, joins the fused box of its label with the highest IoU, if that is above `iou`, and updates it;
    otherwise it starts a new one. The score is the mean of the cluster times the share of detectors in it (at most 1).

    Equal to `ensemble_boxes.weighted_boxes_fusion` 1.0.9 except that boxes may have any unit, those without area stay,
    and no score is above 1. There, several boxes of a detector with a high weight in one cluster exceed 1: with weights
    3 and 1, two boxes of the first with 0.9 and 0.7 fuse to (2.7 + 2.1) / 2 * 2 / 4 = 1.2, here to 1.

    Args:
        detections: boxes `(N, 6)` of each detector.
        weights: weight of each detector (default: 1). They scale the scores.
        iou: IoU with the fused box above which a box joins it (default: 0.55, as in the paper).
        least: smallest score to use.
    """
    shares = _weights(weights, len(detections))
    boxes = _pooled(detections, shares, least)
    members: list[list[np.ndarray]] = []
    fused = np.zeros((0, 6))
    for box in boxes:
        overlap = np.where(fused[:, 5] == box[5], overlaps(box, fused), -1)
        place = int(overlap.argmax()) if len(overlap) else -1
        if place < 0 or overlap[place] <= iou:
            members.append([box])
            fused = np.concatenate([fused, box[None]])
        else:
            members[place].append(box)
            fused[place] = _fuse(np.stack(members[place]))
    for row, cluster in zip(fused, members, strict=True):
        row[4] = min(row[4] * min(len(detections), len(cluster)) / shares.sum(), 1.0)
    return _best_first(fused)


def non_maximum_weighted(
    detections: Sequence[np.ndarray],
    weights: Sequence[float] | np.ndarray | None = None,
    iou: float = 0.55,
    least: float = 0.0,
) -> np.ndarray:
    """Non-maximum weighted (Zhou et al. 2017, CAD): suppressed boxes still move the box that stays.

    Each box, best first, joins the leader of its label with the highest IoU, if that is above `iou`, or becomes a
    leader. The corners of a leader become the mean of its own and its followers', weighted by score times IoU with it;
    its score is unchanged. Equal to `ensemble_boxes.non_maximum_weighted` 1.0.9.

    Args:
        detections: boxes `(N, 6)` of each detector.
        weights: weight of each detector (default: 1). They scale the scores relative to the largest weight.
        iou: IoU with the leader above which a box joins it (default: 0.55, as in that package).
        least: smallest score to use.
    """
    shares = _weights(weights, len(detections))
    boxes = _pooled(detections, shares / shares.max(), least)
    leaders: list[int] = []
    share = np.zeros((len(boxes), len(boxes)))  # weight of each box in the corners of each leader
    for number, box in enumerate(boxes):
        others = boxes[leaders]
        overlap = np.where(others[:, 5] == box[5], overlaps(box, others), -1)
        place = int(overlap.argmax()) if leaders else -1
        if place < 0 or overlap[place] <= iou:
            leaders.append(number)
            share[number, number] = box[4]
        else:
            share[leaders[place], number] = box[4] * overlap[place]
    merged, share = boxes[leaders], share[leaders]
    total = share.sum(axis=1, keepdims=True)
    # A leader with score 0 has no weights, and keeps its corners.
    merged[:, :4] = np.where(total > 0, share @ boxes[:, :4] / np.where(total > 0, total, 1), merged[:, :4])
    return merged


def weigh(boxes: np.ndarray, probability: float) -> np.ndarray:
    """Multiply scores by an image-level probability of a classifier, 0..1."""
    if not 0 <= probability <= 1:
        raise ValueError(f"the classifier's output is {probability}, expected a probability in 0..1")
    weighed = as_boxes(boxes)
    weighed[:, 4] *= probability
    return weighed


def above(boxes: np.ndarray, least: float) -> np.ndarray:
    """Boxes with a score above `least`."""
    boxes = as_boxes(boxes)
    return boxes[boxes[:, 4] > least]


def shrink(boxes: np.ndarray, factor: float = 0.875) -> np.ndarray:
    """Scale the sides by `factor` about the centre.

    RSNA pneumonia's 1st place used 0.875 after the thresholds 0.2 and 0.15. The area falls to 0.766.
    """
    if not factor > 0:
        raise ValueError(f"factor is {factor}, expected a number above 0")
    shrunk = as_boxes(boxes)
    centre, half = (shrunk[:, :2] + shrunk[:, 2:4]) / 2, (shrunk[:, 2:4] - shrunk[:, :2]) / 2 * factor
    shrunk[:, :2], shrunk[:, 2:4] = centre - half, centre + half
    return shrunk


def _pooled(detections: Sequence[np.ndarray], weights: np.ndarray, least: float) -> np.ndarray:
    """Boxes of all detectors with a score of at least `least`, with weighted scores, best first."""
    scaled = []
    for boxes, weight in zip(map(as_boxes, detections), weights, strict=True):
        boxes = boxes[boxes[:, 4] >= least]
        boxes[:, 4] *= weight
        scaled.append(boxes)
    return _best_first(np.concatenate(scaled))


def _fuse(cluster: np.ndarray) -> np.ndarray:
    total = cluster[:, 4].sum()
    # Boxes that all have score 0 are fused with equal weights.
    share = cluster[:, 4] / total if total > 0 else np.full(len(cluster), 1 / len(cluster))
    return np.array([*(share @ cluster[:, :4]), total / len(cluster), cluster[0, 5]])


def _decay(method: str, iou: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    if method == "linear":
        return lambda overlap: np.where(overlap > iou, 1 - overlap, 1.0)
    if method == "gaussian":
        return lambda overlap: np.exp(-(overlap**2) / sigma)
    raise ValueError(f"soft_nms: method is {method!r}, expected linear or gaussian")


def _weights(weights: Sequence[float] | np.ndarray | None, detectors: int) -> np.ndarray:
    if not detectors:
        raise ValueError("no detector is given, expected the boxes of one or more")
    given = np.ones(detectors) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (detectors,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise ValueError(f"weights are {given.tolist()}; expected {detectors} numbers ≥ 0, not all 0")
    return given


def _best_first(boxes: np.ndarray) -> np.ndarray:
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]
