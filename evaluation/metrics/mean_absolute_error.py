"""Mean absolute error of numbers: ages, counts, malignancy of nodules."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, require_array


class MeanAbsoluteError(CompetitionMetric):
    """Mean of |predicted − true| over images and over the numbers of each.

    Args:
        output: name of the numbers `(K,)` in the prediction: an output with `activations: {label: none}`.
        target: name of the numbers in the target (`datamodules.targets.Labels` of kind `number`) (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import MeanAbsoluteError
        >>> metric = MeanAbsoluteError()
        >>> row = metric.image({"label": np.array([2.5], np.float32)}, {"label": np.array([4.0], np.float32)})
        >>> metric.reduce(row[None])
        1.5
    """

    higher_is_better = False

    def __init__(self, output: str = "label", target: str | None = None) -> None:
        super().__init__()
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = np.asarray(require_array(prediction, self.output, "prediction"), np.float64)
        true = np.asarray(require_array(targets, self.target, "target"), np.float64)
        if predicted.ndim != 1 or predicted.shape != true.shape:
            raise ValueError(
                f"prediction {self.output!r} is {predicted.shape}, target {self.target!r} {true.shape}, "
                "expected equally many numbers (K,) in both"
            )
        return np.array([np.abs(predicted - true).sum(), len(true)])

    def reduce(self, rows: np.ndarray) -> float:
        total, count = rows.sum(axis=0)
        return float(total / count) if count else float("nan")
