"""Box ensembling of RSNA pneumonia's winners; arrays as in `masks.boxes`."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ensembling.rules import normalised
from masks.boxes import as_boxes, nms, non_maximum_weighted, overlaps, soft_nms, weighted_box_fusion

BoxRule = Literal["wbf", "nmw", "nms", "soft_nms", "general"]


def general(
    detections: Sequence[np.ndarray], iou: float = 0.4, weights: Sequence[float] | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Ahrnbom's GeneralEnsemble, as in RSNA pneumonia's 1st place.

    Each box that is not taken yet takes from every other detector the box of its label with the highest IoU, if that is
    above `iou`. Centres, sides and scores of such a set are averaged with the weights of the detectors.

    Args:
        detections: boxes `(N, 6)` of each detector, in its own order.
        iou: IoU above which boxes are merged (default: 0.4, as in RSNA pneumonia).
        weights: weight of each detector (default: equal).

    Returns:
        Boxes `(K, 6)` in order of detection, and the share of the weights that found each, `(K,)`: with equal weights
        the share of the detectors.
    """
    shares = normalised(weights, len(detections))
    sets = [as_boxes(boxes) for boxes in detections]
    free = [np.ones(len(boxes), bool) for boxes in sets]
    merged, found_by = [], []
    for number, boxes in enumerate(sets):
        for row, box in enumerate(boxes):
            if not free[number][row]:
                continue
            free[number][row] = False
            chosen, by = [box], [shares[number]]
            for other, others in enumerate(sets):
                if other == number or not len(others):
                    continue
                overlap = np.where(free[other] & (others[:, 5] == box[5]), overlaps(box, others), -1)
                best = int(overlap.argmax())
                if overlap[best] > iou:
                    free[other][best] = False
                    chosen.append(others[best])
                    by.append(shares[other])
            # The mean of centres and sides is the mean of corners.
            total = sum(by)
            share = np.array(by) / total if total > 0 else np.full(len(by), 1 / len(by))
            merged.append([*(share @ np.stack(chosen)[:, :5]), box[5]])
            found_by.append(total)
    return np.array(merged).reshape(-1, 6), np.array(found_by)


def double_score(boxes: np.ndarray, found_by: np.ndarray) -> np.ndarray:
    """Multiply scores by the share of detectors that found each box (RSNA pneumonia, 1st place: cut at 0.2, 0.15)."""
    scored = as_boxes(boxes)
    scored[:, 4] *= found_by
    return scored


def merge_boxes(
    detections: Sequence[np.ndarray],
    rule: BoxRule,
    iou: float,
    weights: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Merge the boxes of all members to one set, float32 `(K, 6)`, best first.

    Args:
        detections: boxes `(N, 6)` of each member.
        rule: `wbf` (weighted box fusion), `nmw` (non-maximum weighted), `nms`, `soft_nms` (linear), or `general` with
            scores times votes.
        iou: IoU from which boxes are merged.
        weights: weight of each member (default: equal); `nms` and `soft_nms` ignore them.
    """
    if rule == "wbf":
        merged = weighted_box_fusion(detections, weights, iou)
    elif rule == "nmw":
        merged = non_maximum_weighted(detections, weights, iou)
    elif rule == "general":
        merged = double_score(*general(detections, iou, weights))
        merged = merged[np.argsort(-merged[:, 4], kind="stable")]
    elif rule in ("nms", "soft_nms"):
        pooled = np.concatenate([as_boxes(boxes) for boxes in detections])
        merged = nms(pooled, iou) if rule == "nms" else soft_nms(pooled, "linear", iou)
    else:
        raise ValueError(f"rule of boxes is {rule!r}, expected wbf, nmw, nms, soft_nms or general")
    return merged.astype(np.float32)
