"""Quadratic weighted kappa of grades: APTOS 2019."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import class_number


class QuadraticWeightedKappa(CompetitionMetric):
    """Cohen's kappa of grades with quadratic weights: 1 - Σ w O / Σ w E with w = (i - j)² (APTOS 2019, Prostate).

    O counts pairs of true and predicted grade, E is what chance gives with the same margins. The score is 1 if all
    targets and predictions are the same grade, where scikit-learn returns nan.

    Args:
        classes: number of grades.
        output: name of the grade in the post-processed prediction: a number `()` (`ArgMax`), or cumulative flags "above
            grade k", bool `(K - 1,)` (`LabelThreshold`).
        target: name of the grade in the target, in the same formats (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import QuadraticWeightedKappa
        >>> metric = QuadraticWeightedKappa(classes=5)
        >>> grades = ((0, 0), (2, 2), (4, 3))  # predicted, true
        >>> rows = [metric.image({"label": np.array(one)}, {"label": np.array(other)}) for one, other in grades]
        >>> round(metric.reduce(np.stack(rows)), 3)
        0.923
    """

    def __init__(self, classes: int = 5, output: str = "label", target: str | None = None) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"QuadraticWeightedKappa: classes is {classes}, expected 2 or more")
        self.classes, self.output, self.target = classes, output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = class_number(prediction, self.output, "prediction", self.classes)
        return np.array([class_number(targets, self.target, "target", self.classes), predicted], np.float64)

    def reduce(self, rows: np.ndarray) -> float:
        true, predicted = rows.astype(np.int64).T
        observed = np.bincount(true * self.classes + predicted, minlength=self.classes**2)
        observed = observed.reshape(self.classes, self.classes)
        grades = np.arange(self.classes)
        weights = (grades[:, None] - grades) ** 2
        expected = np.outer(observed.sum(1), observed.sum(0)) / len(rows)
        chance = (weights * expected).sum()
        return float(1 - (weights * observed).sum() / chance) if chance > 0 else 1.0

    def image_score(self, row: np.ndarray) -> float:
        """1 - w / (K - 1)²: kappa is undefined for a single image."""
        return float(1 - ((row[0] - row[1]) / (self.classes - 1)) ** 2)
