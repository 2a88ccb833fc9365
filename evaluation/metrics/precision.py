"""Precision of one mask per image over IoU thresholds: TGS salt."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.instances import DSB_THRESHOLDS
from evaluation.metrics.iou import iou
from evaluation.metrics.overlap import counts, mean
from evaluation.void import nothing_counts


class IoUPrecision(CompetitionMetric):
    """Mean over images and thresholds of "IoU above the threshold" for one mask per image (TGS salt).

    An image with empty target and prediction scores 1, one with only either 0. Images without any valid pixel are
    excluded.

    Args:
        thresholds: IoU thresholds in [0, 1) (default: the competition's .50, .55, … .95).
        output: name of the bool mask `(1, H, W)` in the post-processed prediction.
        target: name of the mask in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import IoUPrecision
        >>> metric = IoUPrecision()
        >>> true, found = np.ones((1, 10, 10), bool), np.ones((1, 10, 10), bool)
        >>> found[:, 7:] = False  # IoU 0.7: above .50, .55, .60 and .65
        >>> row = metric.image({"mask": found}, {"mask": true})
        >>> metric.reduce(row[None])
        0.4
    """

    def __init__(
        self,
        thresholds: list[float] = list(DSB_THRESHOLDS),  # noqa: B006 - never changed; --help prints it
        output: str = "mask",
        target: str | None = None,
    ) -> None:
        super().__init__()
        if not thresholds or not all(0 <= threshold < 1 for threshold in thresholds):
            raise ValueError(f"IoUPrecision: thresholds are {thresholds}, expected numbers in [0, 1)")
        self.thresholds, self.output, self.target = list(thresholds), output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        counted = counts(prediction, targets, self.output, self.target, None, None)
        if len(counted) != 1:
            raise ValueError(f"IoUPrecision: {self.output!r} has {len(counted)} channels, expected one mask per image")
        if nothing_counts(targets):
            return np.array([np.nan])
        # Rounded, so that an IoU equal to a threshold does not pass by a rounding error.
        overlap = np.round(iou(counted[0], empty=1.0), 9)
        return np.array([np.mean([overlap > round(threshold, 9) for threshold in self.thresholds])])

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows)
