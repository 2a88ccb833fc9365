"""Classification accuracy."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import class_number


class Accuracy(CompetitionMetric):
    """Share of images whose single class is correct.

    Args:
        classes: number of classes.
        output: name of the class in the post-processed prediction: a class number `()`, made by `ArgMax`; one-hot flags
            `(K,)`; or cumulative grade flags bool `(K - 1,)`.
        target: name of the true class in the target, in the same formats (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import Accuracy
        >>> metric = Accuracy(classes=3)
        >>> pairs = (2, 2), (0, 1)  # predicted, true
        >>> rows = [metric.image({"label": np.array(one)}, {"label": np.array(other)}) for one, other in pairs]
        >>> metric.reduce(np.stack(rows))
        0.5
    """

    def __init__(self, classes: int, output: str = "label", target: str | None = None) -> None:
        super().__init__()
        self.classes, self.output, self.target = classes, output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = class_number(prediction, self.output, "prediction", self.classes)
        return np.array([predicted == class_number(targets, self.target, "target", self.classes)], np.float64)

    def reduce(self, rows: np.ndarray) -> float:
        return float(rows.mean())
