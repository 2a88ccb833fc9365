"""Ranked guesses: Humpback Whale, Quick, Draw!, Google Landmarks."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import class_number, probabilities


class MeanAveragePrecisionAtK(CompetitionMetric):
    """Mean over images of 1 / rank of the single true class among the k most probable, 0 if it is not among them.

    This is Kaggle's MAP@5 (Humpback Whale) and MAP@3 (Quick, Draw!), as there is a single true class. Among equal
    probabilities the lower class number ranks first.

    Args:
        k: number of guesses per image (default: 5).
        output: name of the probabilities float `(K,)` in the prediction.
        target: name of the class number in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import MeanAveragePrecisionAtK
        >>> metric = MeanAveragePrecisionAtK(k=3)
        >>> probabilities = np.array([0.1, 0.5, 0.1, 0.3], np.float32)
        >>> rows = [metric.image({"label": probabilities}, {"label": np.array(true)}) for true in (1, 3)]
        >>> metric.reduce(np.stack(rows))  # first and second: mean of 1 and 1 / 2
        0.75
    """

    def __init__(self, k: int = 5, output: str = "label", target: str | None = None) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"MeanAveragePrecisionAtK: k is {k}, expected 1 or more")
        self.k, self.output, self.target = k, output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = probabilities(prediction, self.output)
        true = class_number(targets, self.target, "target", len(predicted))
        before = (predicted > predicted[true]).sum() + (predicted[:true] == predicted[true]).sum()
        return np.array([1 / (before + 1) if before < self.k else 0.0])

    def reduce(self, rows: np.ndarray) -> float:
        return float(rows.mean())
