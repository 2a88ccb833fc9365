"""Average precision of instances, as the 2018 Data Science Bowl scores them."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, named
from evaluation.metrics.overlap import mean
from evaluation.void import nothing_counts

DSB_THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
MOST = 1 << 22  # cells of a joint histogram; ids that would need more are numbered anew


def pairwise_iou(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """IoU of every true object with every predicted one, `(true, predicted)` float64.

    One joint histogram of the two label images `(H, W)`; ids need not be consecutive, 0 is background.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"predicted instances are {predicted.shape}, true ones {target.shape}")
    rows, columns = _highest(target) + 1, _highest(predicted) + 1
    if rows * columns > MOST:
        (target, rows), (predicted, columns) = _consecutive(target), _consecutive(predicted)
    places = target.astype(np.intp)
    places *= columns
    places += predicted
    joint = np.bincount(places.ravel(), minlength=rows * columns).reshape(rows, columns)
    # Ids that do not occur are no objects.
    true, found = joint.sum(1) > 0, joint.sum(0) > 0
    true[0] = found[0] = True
    joint = joint[np.ix_(true, found)] if not (true.all() and found.all()) else joint
    inside = joint[1:, 1:]
    union = joint[1:].sum(1, keepdims=True) + joint[:, 1:].sum(0, keepdims=True) - inside
    return inside / np.maximum(union, 1)


def _highest(labels: np.ndarray) -> int:
    if labels.size == 0 or (labels.dtype.kind == "i" and labels.min() < 0):
        raise ValueError("instances are ids of 0 (background) and above")
    return int(labels.max())


def _consecutive(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """The same objects numbered 1..n, and n + 1."""
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    number = int(present.sum())
    table = np.where(present, np.cumsum(present), 0)
    return table[labels], number + 1


class InstanceAveragePrecision(CompetitionMetric):
    """Mean over images and IoU thresholds of TP / (TP + FP + FN).

    A true object is found when a predicted one overlaps it with an IoU above the threshold; above 0.5 a match is
    unique. An image without true and predicted objects scores 1; one of which no pixel counts is left out.

    Args:
        thresholds: IoU thresholds; the Data Science Bowl's .50, .55, … .95.
        output: name of the instance ids `(H, W)` in the post-processed prediction.
        truth: name of the true ids; the same as `output` unless given.

    Example:
        >>> import numpy as np
        >>> from evaluation.metrics import InstanceAveragePrecision
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
        truth: str | None = None,
    ) -> None:
        super().__init__()
        low = [threshold for threshold in thresholds if not 0.5 <= threshold < 1]
        if low:
            raise ValueError(f"thresholds lie in [0.5, 1), where a match is unique, got {low}")
        self.thresholds, self.output, self.truth = list(thresholds), output, truth or output

    def image(self, prediction: Arrays, truth: Arrays) -> np.ndarray:
        iou = pairwise_iou(named(prediction, self.output, "prediction"), named(truth, self.truth, "truth"))
        number_true, number_predicted = iou.shape
        if number_true + number_predicted == 0:
            return np.array([np.nan if nothing_counts(truth) else 1.0])
        best = iou.max(axis=1) if number_predicted else np.zeros(number_true)
        # Rounded, so that an IoU of exactly a threshold does not pass by an error of the last bit.
        found = np.array([(np.round(best, 9) > round(threshold, 9)).sum() for threshold in self.thresholds])
        return np.array([np.mean(found / (number_true + number_predicted - found))])

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows)
