"""F-beta of labels: Human Protein Atlas 2018, Planet."""

from typing import Literal

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import flags


def fbeta(
    found: np.ndarray, predicted: np.ndarray | int, true: np.ndarray | int, beta: float, empty: float
) -> np.ndarray:
    """(1 + β²) TP / (β² · true + predicted); `empty` where target and prediction are empty."""
    square = beta * beta
    below = square * true + predicted
    return np.where(below > 0, (1 + square) * found / np.where(below > 0, below, 1), empty)


class FBeta(CompetitionMetric):
    """F-beta of images with any number of labels.

    Args:
        average: `macro`, mean over classes of the F-beta over the set (Human Protein Atlas 2018);
            `samples`, mean over images (Planet); `micro`, F-beta of all decisions pooled.
        beta: weight of recall relative to precision: 1 (Human Protein Atlas), 2 (Planet).
        empty: F-beta of a class (`macro`) or image (`samples`) with neither true nor predicted labels (default: 0, as
            in scikit-learn and both competitions). `.nan` excludes it from the mean.
        output: name of the labels in the post-processed prediction: bool `(K,)`, made by `LabelThreshold`, or a class
            number `()`.
        target: name of the labels in the target, `(K,)` of 0 and 1 or a class number (default: `output`).
        classes: number of classes K, required for class numbers.

    Example:
        >>> import numpy as np
        >>> from evaluation import FBeta
        >>> metric = FBeta(average="samples", beta=2.0)
        >>> prediction = {"label": np.array([True, True, False])}
        >>> row = metric.image(prediction, {"label": np.array([1, 0, 0])})
        >>> round(metric.reduce(row[None]), 3)  # recall 1, precision 1 / 2: 5 · 0.5 / (4 · 0.5 + 1)
        0.833
    """

    def __init__(
        self,
        average: Literal["macro", "micro", "samples"] = "macro",
        beta: float = 1.0,
        empty: float = 0.0,
        output: str = "label",
        target: str | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        if beta <= 0:
            raise ValueError(f"FBeta: beta is {beta}, expected a number above 0")
        self.average, self.beta, self.empty = average, beta, empty
        self.output, self.target, self.classes = output, target or output, classes

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = flags(prediction, self.output, "prediction", self.classes)
        true = flags(targets, self.target, "target", self.classes)
        if len(predicted) != len(true):
            raise ValueError(
                f"prediction {self.output!r} has {len(predicted)} classes, target {self.target!r} {len(true)}"
            )
        return np.stack([predicted & true, predicted, true], axis=1).astype(np.float64).ravel()

    def reduce(self, rows: np.ndarray) -> float:
        counted = rows.reshape(len(rows), -1, 3)
        if self.average != "samples":
            counted = counted.sum(0)
        if self.average != "macro":
            counted = counted.sum(-2)
        scores = fbeta(counted[..., 0], counted[..., 1], counted[..., 2], self.beta, self.empty)
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        counted = rows.reshape(len(rows), -1, 3).sum(0)
        return fbeta(counted[:, 0], counted[:, 1], counted[:, 2], self.beta, self.empty)

    def image_score(self, row: np.ndarray) -> float:
        found, predicted, true = row.reshape(-1, 3).sum(0)
        return float(fbeta(found, predicted, true, self.beta, self.empty))
