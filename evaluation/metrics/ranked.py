"""Ranked guesses: Humpback Whale, Quick, Draw!, Google Landmarks."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import class_number, probabilities


class MeanAveragePrecisionAtK(CompetitionMetric):
    """Mean over images of 1 / rank of the one true class among the k most probable ones, 0 where it is not there.

    Kaggle's MAP@5 (Humpback Whale) and MAP@3 (Quick, Draw!): with a single true class, average precision is that. Of
    equal probabilities the lower class number is ranked first.

    Args:
        k: guesses.
        output: name of the probabilities float `(K,)` in the prediction.
        truth: name of the true class number; the same as `output` unless given.

    Example:
        >>> import numpy as np
        >>> from evaluation import MeanAveragePrecisionAtK
        >>> metric = MeanAveragePrecisionAtK(k=3)
        >>> probabilities = np.array([0.1, 0.5, 0.1, 0.3], np.float32)
        >>> rows = [metric.image({"label": probabilities}, {"label": np.array(true)}) for true in (1, 3)]
        >>> metric.reduce(np.stack(rows))  # first and second: mean of 1 and 1 / 2
        0.75
    """

    def __init__(self, k: int = 5, output: str = "label", truth: str | None = None) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"MeanAveragePrecisionAtK: k is {k}, expected 1 or more")
        self.k, self.output, self.truth = k, output, truth or output

    def image(self, prediction: Arrays, truth: Arrays) -> np.ndarray:
        predicted = probabilities(prediction, self.output)
        true = class_number(truth, self.truth, "truth", len(predicted))
        before = (predicted > predicted[true]).sum() + (predicted[:true] == predicted[true]).sum()
        return np.array([1 / (before + 1) if before < self.k else 0.0])

    def reduce(self, rows: np.ndarray) -> float:
        return float(rows.mean())
