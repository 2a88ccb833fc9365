"""Pixel counts that Dice and IoU share."""

import numpy as np

from evaluation.metrics.base import Arrays, named
from evaluation.void import nothing_counts
from masks.void import VOID


def counts(
    prediction: Arrays, truth: Arrays, output: str, target: str, classes: int | None, ignore: int | None
) -> np.ndarray:
    """`(C, 3)` float64: intersection, predicted pixels, true pixels of each channel or class.

    Args:
        prediction: holds `output`: bool `(C, H, W)` after a threshold, `(H, W)` instance ids (any above 0 counts as
            foreground), or class numbers `(H, W)` when `classes` is given.
        truth: holds `target`, in the same kinds.
        output: name in the prediction.
        target: name in the truth.
        classes: number of classes of index maps; class probabilities `(C, H, W)` are then reduced to their argmax.
        ignore: value of the truth that marks pixels which do not count, beside those where its `valid` is False; of
            index maps 255 unless given.

    Raises:
        ValueError: shapes that differ, or a class number that is none.
    """
    predicted, true = named(prediction, output, "prediction"), named(truth, target, "truth")
    if classes is None:
        predicted, true = masks(predicted, output), masks(true, target, ignore)
        if predicted.shape != true.shape:
            raise ValueError(f"prediction {output!r} is {predicted.shape}, truth {target!r} is {true.shape}")
        counted = named(truth, target, "truth") != ignore if ignore is not None else None
    else:
        # Maps of volumes have three axes themselves: probabilities are told by their type, or by one axis more.
        predicted = predicted.argmax(0) if predicted.ndim > true.ndim or predicted.dtype.kind in "fb" else predicted
        true = true[0] if true.ndim > predicted.ndim else true
        if predicted.shape != true.shape:
            raise ValueError(f"prediction {output!r} is {predicted.shape}, truth {target!r} is {true.shape}")
        predicted, true = _classes_that_count(predicted, true, truth.get("valid"), ignore)
        for numbers, name in ((predicted, f"prediction {output!r}"), (true, f"truth {target!r}")):
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
                wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
                raise ValueError(f"{name} holds class {wrong}, expected 0 to {classes - 1} of {classes} classes")
        joint = predicted.astype(np.int64) * classes + true
        table = np.bincount(joint, minlength=classes * classes).reshape(classes, classes).astype(np.float64)
        return np.stack([np.diagonal(table), table.sum(1), table.sum(0)], axis=1)
    if counted is not None:
        predicted, true = predicted & counted, true & counted
    # count_nonzero of bools is many times faster than their sum.
    rows = zip(predicted, true, strict=True)
    return np.array([[np.count_nonzero(p & t), np.count_nonzero(p), np.count_nonzero(t)] for p, t in rows], np.float64)


def _classes_that_count(
    predicted: np.ndarray, true: np.ndarray, valid: np.ndarray | None, ignore: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class numbers of the pixels that count, `(n,)`."""
    counted = true != (VOID if ignore is None else ignore)
    if valid is not None:
        if valid.shape != true.shape:
            raise ValueError(f"`valid` is {valid.shape}, the class numbers are {true.shape}")
        counted &= valid.astype(bool, copy=False)
    return predicted[counted], true[counted]


def of_nothing(empty: float, counted: np.ndarray, truth: Arrays, classes: int | None) -> float:
    """Score of an image without truth and prediction: `empty`, or nan where no pixel of it counts.

    Args:
        empty: see there.
        counted: what `counts` gave: of class numbers each pixel that counts is true of one class.
        truth: of the image.
        classes: number of classes of index maps.
    """
    unknown = nothing_counts(truth) if classes is None else not counted[:, 2].any()
    return float("nan") if unknown else empty


def mean(scores: np.ndarray) -> float:
    """Mean of the scores that are numbers; nan where none is (a class that occurs nowhere, with `empty: .nan`)."""
    counted = ~np.isnan(scores)
    return float(scores[counted].mean()) if counted.any() else float("nan")


def masks(array: np.ndarray, name: str, ignore: int | None = None) -> np.ndarray:
    """Any mask as bool `(C, H, W)`."""
    if array.dtype.kind == "f":
        raise ValueError(f"{name!r} holds probabilities, a metric wants a mask: add postprocessing.Threshold before it")
    array = array[None] if array.ndim == 2 else array
    if array.dtype == bool:
        return array
    return (array > 0) & (array != ignore) if ignore is not None else array > 0
