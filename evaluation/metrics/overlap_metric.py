"""Base class of metrics that compare the pixels of masks, such as Dice and IoU."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric
from evaluation.metrics.overlap import counts, mean, of_nothing


class OverlapMetric(CompetitionMetric):
    """A coefficient of predicted and true pixels: averaged over images, or of all pixels of the set at once.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        target: name of the mask in the target (default: `output`).
        empty: score where target and prediction are empty; `.nan` excludes it from the mean.
        classes: number of classes if masks are class numbers; the mean then runs over the classes.
        ignore: target value of pixels to ignore (default: 255 for class numbers). Pixels that a target or reader
            declares void (`valid`) are always ignored.
    """

    per_image: ClassVar[bool]

    def __init__(
        self,
        output: str = "mask",
        target: str | None = None,
        empty: float = 1.0,
        classes: int | None = None,
        ignore: int | None = None,
    ) -> None:
        super().__init__()
        self.output, self.target, self.empty = output, target or output, empty
        self.classes, self.ignore = classes, ignore

    @abstractmethod
    def coefficient(self, counted: np.ndarray, empty: float) -> np.ndarray:
        """Scores `(…,)` of counts `(…, 3)` (intersection, predicted, true pixels); `empty` where both are empty."""

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        counted = counts(prediction, targets, self.output, self.target, self.classes, self.ignore)
        if not self.per_image:
            return counted.ravel()
        return self.coefficient(counted, of_nothing(self.empty, counted, targets, self.classes))

    def reduce(self, rows: np.ndarray) -> float:
        return mean(rows if self.per_image else self.class_scores(rows))

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        if self.per_image:
            return np.array([mean(column) for column in rows.T])
        return self.coefficient(rows.sum(0).reshape(-1, 3), self.empty)
