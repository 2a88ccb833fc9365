"""Logarithmic loss: cervical cancer screening, intracranial haemorrhage."""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.labels import class_number, flags, probabilities


class LogLoss(CompetitionMetric):
    """Mean of -log(probability of the target), in nats.

    Args:
        multilabel: False: classes are exclusive (Intel & MobileODT cervical cancer); probabilities are scaled to sum 1,
            as in the competition. True: each class is an independent binary label (RSNA haemorrhage).
        weights: weight of each class (default: all 1). RSNA haemorrhage counts `any` twice: [1, 1, 1, 1, 1, 2].
            The loss is the weighted mean over images (and, with `multilabel`, classes).
        clip: probabilities are clipped to [clip, 1 - clip] (default: Kaggle's 1e-15).
        output: name of the probabilities float `(K,)` in the prediction.
        target: name of the class number or flags `(K,)` in the target (default: `output`).

    Example:
        >>> import numpy as np
        >>> from evaluation import LogLoss
        >>> metric = LogLoss()
        >>> row = metric.image({"label": np.array([0.25, 0.75], np.float32)}, {"label": np.array(1)})
        >>> round(metric.reduce(row[None]), 4)  # -log 0.75
        0.2877
    """

    higher_is_better = False

    def __init__(
        self,
        multilabel: bool = False,
        weights: list[float] | None = None,
        clip: float = 1e-15,
        output: str = "label",
        target: str | None = None,
    ) -> None:
        super().__init__()
        if weights is not None and (min(weights) < 0 or sum(weights) <= 0):
            raise ValueError(f"LogLoss: weights are {weights}, expected numbers ≥ 0, not all 0")
        self.multilabel, self.weights, self.clip = multilabel, weights, clip
        self.output, self.target = output, target or output

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        predicted = probabilities(prediction, self.output)
        weights = np.ones(len(predicted)) if self.weights is None else np.array(self.weights, np.float64)
        if len(weights) != len(predicted):
            raise ValueError(
                f"LogLoss: weights has {len(weights)} values, expected {len(predicted)}, the classes of {self.output!r}"
            )
        if self.multilabel:
            true = flags(targets, self.target, "target")
            if len(true) != len(predicted):
                raise ValueError(
                    f"prediction {self.output!r} has {len(predicted)} classes, target {self.target!r} {len(true)}"
                )
            right = np.where(true, predicted, 1 - predicted)
        else:
            number = class_number(targets, self.target, "target", len(predicted))
            total = predicted.sum()
            right = predicted[[number]] / (total if total > 0 else 1)
            weights = weights[[number]]
        losses = -np.log(np.clip(right, self.clip, 1 - self.clip))
        return np.array([(weights * losses).sum(), weights.sum()])

    def reduce(self, rows: np.ndarray) -> float:
        loss, weight = rows.sum(0)
        return float(loss / weight) if weight > 0 else float("nan")
