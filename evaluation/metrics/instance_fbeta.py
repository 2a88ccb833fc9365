"""F-beta of instances: Airbus ships."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, require_array
from evaluation.metrics.fbeta import fbeta
from evaluation.metrics.instances import DSB_THRESHOLDS
from evaluation.metrics.overlap import mean
from evaluation.object_overlaps import object_overlaps
from evaluation.void import nothing_counts


class InstanceFBeta(CompetitionMetric):
    """Mean over images and IoU thresholds of the F-beta of detected objects (Airbus ships).

    A true object is found if a predicted one overlaps it with an IoU above the threshold; above 0.5 a match is unique.
    An image without true and predicted objects scores 1, one with only either 0; images without any valid pixel are
    excluded.

    Args:
        beta: weight of recall relative to precision (default: the competition's 2).
        thresholds: IoU thresholds in [0.5, 1) (default: the competition's .50, .55, … .95).
        output: name of the instance ids `(H, W)` in the post-processed prediction.
        target: name of the instance ids in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import InstanceFBeta
        >>> true = np.zeros((20, 20), np.int32)
        >>> true[:10, :10], true[10:, 10:] = 1, 2
        >>> found = np.where(true == 1, 1, 0)
        >>> metric = InstanceFBeta()
        >>> row = metric.image({"instances": found}, {"instances": true})
        >>> round(metric.reduce(row[None]), 3)  # one found, one missed: 5 / (5 + 4)
        0.556
    """

    def __init__(
        self,
        beta: float = 2.0,
        thresholds: list[float] = list(DSB_THRESHOLDS),  # noqa: B006 - never changed; --help prints it
        output: str = "instances",
        target: str | None = None,
    ) -> None:
        super().__init__()
        low = [threshold for threshold in thresholds if not 0.5 <= threshold < 1]
        if low or not thresholds:
            raise ValueError(f"InstanceFBeta: thresholds are {low}, expected [0.5, 1), where a match is unique")
        if beta <= 0:
            raise ValueError(f"InstanceFBeta: beta is {beta}, expected a number above 0")
        self.beta, self.thresholds = beta, list(thresholds)
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        arrays = require_array(prediction, self.output, "prediction"), require_array(targets, self.target, "target")
        for array, name in zip(arrays, (self.output, self.target), strict=True):
            if array.dtype.kind not in "iu" or array.ndim != 2:
                raise ValueError(f"{name!r} is {array.dtype} {array.shape}, expected instance ids (H, W)")
        overlaps = object_overlaps(*arrays)
        number_true, number_predicted = len(overlaps.true_areas), len(overlaps.predicted_areas)
        if nothing_counts(targets):
            return np.array([np.nan])
        best = overlaps.best_of_true()
        # Rounded, so that an IoU equal to a threshold does not pass by a rounding error.
        limits = np.round(self.thresholds, 9)
        found = (np.round(best, 9)[:, None] > limits).sum(0)
        return np.array([fbeta(found, number_predicted, number_true, self.beta, empty=1.0).mean()])

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows)
