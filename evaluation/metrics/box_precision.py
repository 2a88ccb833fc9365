"""Precision of boxes of a single class over IoU thresholds: RSNA pneumonia."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.detection import box_overlaps, ignored_boxes, ignored_overlaps, predicted_boxes, true_boxes
from evaluation.metrics.overlap import mean

RSNA_THRESHOLDS = (0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75)


class BoxPrecision(CompetitionMetric):
    """Mean over images and IoU thresholds of TP / (TP + FP + FN) of boxes (RSNA pneumonia 2018).

    In order of confidence, each predicted box takes the free true box that it overlaps most; it is a match if their IoU
    is above the threshold. An image without true boxes scores 0 with any prediction, and is excluded from the mean
    without one, as in the competition. Unmatched predictions that overlap ignored regions (`ignored_boxes` of the
    target: a crowd by the share of their own area, a difficult object by IoU) are ignored at that threshold.

    Args:
        thresholds: IoU thresholds in [0, 1) (default: the competition's .40, .45, … .75).
        output: name of the boxes `(n, 6)` in the prediction: x1, y1, x2, y2, score, label; labels are ignored.
        target: name of the true boxes in the target, `(n, 4)` or `(n, 6)` (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import BoxPrecision
        >>> metric = BoxPrecision(thresholds=[0.4, 0.75])
        >>> true = np.array([[0, 0, 10, 10]], np.float32)
        >>> found = np.array([[0, 0, 10, 6, 0.9, 0]], np.float32)  # IoU 0.6: found at 0.4, not at 0.75
        >>> row = metric.image({"boxes": found}, {"boxes": true})
        >>> metric.reduce(row[None])
        0.5
    """

    def __init__(
        self,
        thresholds: list[float] = list(RSNA_THRESHOLDS),  # noqa: B006 - never changed; --help prints it
        output: str = "boxes",
        target: str | None = None,
    ) -> None:
        super().__init__()
        if not thresholds or not all(0 <= threshold < 1 for threshold in thresholds):
            raise ValueError(f"BoxPrecision: thresholds are {thresholds}, expected numbers in [0, 1)")
        self.thresholds, self.output, self.target = list(thresholds), output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted, true = predicted_boxes(prediction, self.output), true_boxes(targets, self.target)
        predicted = predicted[np.argsort(-predicted[:, 4], kind="stable")]
        crowd, difficult = ignored_overlaps(predicted, ignored_boxes(targets, self.target), by_class=False)
        overlap = np.round(box_overlaps(predicted, true), 9)
        scores = []
        for threshold in (round(threshold, 9) for threshold in self.thresholds):
            free, found = overlap.copy(), np.zeros(len(predicted), bool)
            for number, own in enumerate(free):
                if own.max(initial=-1) > threshold:
                    free[:, own.argmax()] = -1
                    found[number] = True
            passed = ~found & ((crowd >= threshold) & (crowd > 0) | (difficult > threshold))
            count = len(predicted) - passed.sum() + len(true) - found.sum()
            scores.append(found.sum() / count if count else np.nan)
        return np.array([mean(np.array(scores))])

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows)
