"""Area under the ROC curve."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import flags, probabilities


class AreaUnderROC(CompetitionMetric):
    """Mean over classes of the area under the ROC curve: how often a random positive ranks above a random negative.

    Ties count half. A class that all or no images have is undefined and excluded from the mean; nan if every class is.

    Args:
        output: name of the probabilities float `(K,)` in the prediction.
        target: name of the flags `(K,)` or class number (one class against the rest) in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import AreaUnderROC
        >>> metric = AreaUnderROC()
        >>> pairs = ((0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1))  # probability, target
        >>> rows = [metric.image({"label": np.array([p], np.float32)}, {"label": np.array([y])}) for p, y in pairs]
        >>> metric.reduce(np.stack(rows))  # three of four pairs are in order
        0.75
    """

    def __init__(self, output: str = "label", target: str | None = None) -> None:
        super().__init__()
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = probabilities(prediction, self.output)
        return np.concatenate([predicted, flags(targets, self.target, "target", len(predicted))])

    def reduce(self, rows: np.ndarray) -> float:
        areas = self.class_scores(rows)
        known = ~np.isnan(areas)
        return float(areas[known].mean()) if known.any() else float("nan")

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        from scipy.stats import rankdata

        predicted, true = np.split(rows, 2, axis=1)
        positive, negative = true.sum(0), (1 - true).sum(0)
        pairs = positive * negative
        wins = (rankdata(predicted, axis=0) * true).sum(0) - positive * (positive + 1) / 2
        return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)

    def image_score(self, row: np.ndarray) -> float:
        """1 - mean |probability - target|; a single image has no ranks."""
        predicted, true = np.split(row, 2)
        return float(1 - np.abs(predicted - true).mean())
