"""Average precision of instances, as the 2018 Data Science Bowl scores them."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, require_array
from evaluation.metrics.overlap import mean
from evaluation.object_overlaps import object_overlaps
from evaluation.void import nothing_counts

DSB_THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)


class InstanceAveragePrecision(CompetitionMetric):
    """Mean over images and IoU thresholds of TP / (TP + FP + FN).

    A true object is found if a predicted one overlaps it with an IoU above the threshold; above 0.5 a match is unique.
    An image without true and predicted objects scores 1; images without any valid pixel are excluded.

    Args:
        thresholds: IoU thresholds in [0.5, 1) (default: the Data Science Bowl's .50, .55, … .95).
        output: name of the instance ids `(H, W)` in the post-processed prediction.
        target: name of the instance ids in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import InstanceAveragePrecision
        >>> true = np.zeros((20, 20), np.int32)
        >>> true[:10, :10], true[10:, 10:] = 1, 2
        >>> found = np.where(true == 1, 1, 0)
        >>> metric = InstanceAveragePrecision()
        >>> row = metric.image({"instances": found}, {"instances": true})
        >>> metric.reduce(row[None])  # one found, one missed
        0.5
    """

    def __init__(
        self,
        thresholds: list[float] = list(DSB_THRESHOLDS),  # noqa: B006 - never changed; --help prints it
        output: str = "instances",
        target: str | None = None,
    ) -> None:
        super().__init__()
        low = [threshold for threshold in thresholds if not 0.5 <= threshold < 1]
        if low:
            raise ValueError(
                f"InstanceAveragePrecision: thresholds are {low}, expected [0.5, 1), where a match is unique"
            )
        self.thresholds, self.output, self.target = list(thresholds), output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        overlaps = object_overlaps(
            require_array(prediction, self.output, "prediction"), require_array(targets, self.target, "target")
        )
        number_true, number_predicted = len(overlaps.true_areas), len(overlaps.predicted_areas)
        if number_true + number_predicted == 0:
            return np.array([np.nan if nothing_counts(targets) else 1.0])
        best = overlaps.best_of_true()
        # Rounded, so that an IoU equal to a threshold does not pass by a rounding error.
        found = np.array([(np.round(best, 9) > round(threshold, 9)).sum() for threshold in self.thresholds])
        return np.array([np.mean(found / (number_true + number_predicted - found))])

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows)
