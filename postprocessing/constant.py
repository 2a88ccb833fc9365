"""Predictions that are the same everywhere: all empty, all full, one class. Their scores are what a chain must beat."""

from typing import Literal

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from postprocessing.step import Step, require_array

MOST_CLASSES = 30


class ConstantAnswer(Step):
    """Replace the final prediction by one that is the same everywhere.

    Args:
        output: name of the prediction: masks bool `(C, H, W)`, labels bool `(K,)`, ids or class numbers `(H, W)`, class
            probabilities `(C, H, W)`, or boxes `(n, 6)`.
        value: 0 for an empty prediction, 1 for a full mask, or a class number.
        classes: number of classes, if the prediction has class numbers or their probabilities.

    Example:
        >>> import numpy as np
        >>> from postprocessing.constant import ConstantAnswer
        >>> ConstantAnswer("mask")({"mask": np.ones((1, 1, 2), bool)})["mask"]
        array([[[False, False]]])
    """

    def __init__(self, output: str = "mask", value: int = 0, classes: int | None = None) -> None:
        self.output, self.value, self.classes = output, value, classes

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = require_array(prediction, self.output, self)
        if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1:] == (6,) and not self.value:
            return prediction | {self.output: array[:0]}
        if array.dtype.kind == "f" and self.classes is not None and array.ndim >= 3:
            result = np.zeros_like(array)
            result[self.value] = 1
            return prediction | {self.output: result}
        if array.dtype.kind == "f":
            raise ValueError(f"ConstantAnswer: {self.output!r} has probabilities (shape {array.shape})")
        if self.classes is not None and self.value and array.ndim == 2 and array.dtype != np.int64:
            raise ValueError(f"ConstantAnswer: {self.output!r} has instance ids, expected class numbers")
        return prediction | {self.output: np.full_like(array, self.value)}


def constant_answers(metric: CompetitionMetric) -> dict[str, ConstantAnswer]:
    """Constant answers that a metric may score, by their description."""
    classes = getattr(metric, "classes", None)
    if isinstance(classes, int):
        return {
            f"all class {number}" if number else "all empty": ConstantAnswer(metric.output, number, classes)
            for number in range(min(classes, MOST_CLASSES))
        }
    return {"all empty": ConstantAnswer(metric.output), "all full": ConstantAnswer(metric.output, 1)}


def constant_value(array: np.ndarray) -> Literal["empty", "full"] | None:
    """Whether a final prediction is the same everywhere.

    Args:
        array: as in `ConstantAnswer`.

    Returns:
        `empty` if it has no foreground or no boxes; `full` if it has one value above 0 everywhere; None if neither, or
        if the array has probabilities.
    """
    if array.dtype.kind == "f":
        if array.ndim == 2 and array.shape[1:] == (6,):
            return None if len(array) else "empty"
        if array.ndim != 3 or len(array) < 2:
            return None
        array = array.argmax(axis=0)
    if array.ndim == 0:
        return None
    low, high = array.min(initial=array.flat[0] if array.size else 0), array.max(initial=0)
    return None if low != high else "full" if high else "empty"
