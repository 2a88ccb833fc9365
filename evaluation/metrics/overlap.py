"""Pixel counts of Dice and IoU."""

import numpy as np

from evaluation.metrics.base import Arrays, require_array
from evaluation.void import nothing_counts
from masks.void import VOID


def counts(
    prediction: Arrays, targets: Arrays, output: str, target: str, classes: int | None, ignore: int | None
) -> np.ndarray:
    """Intersection, predicted pixels and true pixels of each channel or class, `(C, 3)` float64.

    Args:
        prediction: arrays with `output`: bool `(C, H, W)` after a threshold, `(H, W)` instance ids (above 0 is
            foreground), or class numbers `(H, W)` if `classes` is given.
        targets: target arrays with `target`, in the same formats.
        output: name in the prediction.
        target: name in the target.
        classes: number of classes of class maps; class probabilities `(C, H, W)` are then reduced to their argmax.
        ignore: target value of pixels to ignore (default: 255 for class maps), besides those where `valid` of the
            target is False.

    Raises:
        ValueError: different shapes, or a class number out of range.
    """
    predicted, true = require_array(prediction, output, "prediction"), require_array(targets, target, "target")
    if classes is None:
        predicted, true = masks(predicted, output), masks(true, target, ignore)
        if predicted.shape != true.shape:
            raise ValueError(f"prediction {output!r} is {predicted.shape}, target {target!r} is {true.shape}")
        counted = require_array(targets, target, "target") != ignore if ignore is not None else None
    else:
        # Class maps of volumes have three axes too: probabilities have a float type, or one axis more.
        predicted = predicted.argmax(0) if predicted.ndim > true.ndim or predicted.dtype.kind in "fb" else predicted
        true = true[0] if true.ndim > predicted.ndim else true
        if predicted.shape != true.shape:
            raise ValueError(f"prediction {output!r} is {predicted.shape}, target {target!r} is {true.shape}")
        predicted, true = _classes_that_count(predicted, true, targets.get("valid"), ignore)
        for numbers, name in ((predicted, f"prediction {output!r}"), (true, f"target {target!r}")):
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
                wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
                raise ValueError(f"{name} has class {wrong}, expected 0 to {classes - 1} ({classes} classes)")
        joint = predicted.astype(np.int64) * classes + true
        table = np.bincount(joint, minlength=classes * classes).reshape(classes, classes).astype(np.float64)
        return np.stack([np.diagonal(table), table.sum(1), table.sum(0)], axis=1)
    if counted is not None:
        predicted, true = predicted & counted, true & counted
    # count_nonzero of bools is many times faster than sum.
    rows = zip(predicted, true, strict=True)
    return np.array([[np.count_nonzero(p & t), np.count_nonzero(p), np.count_nonzero(t)] for p, t in rows], np.float64)


def _classes_that_count(
    predicted: np.ndarray, true: np.ndarray, valid: np.ndarray | None, ignore: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true class numbers of the valid pixels, `(n,)`."""
    counted = true != (VOID if ignore is None else ignore)
    if valid is not None:
        if valid.shape != true.shape:
            raise ValueError(f"target 'valid' is {valid.shape}, expected {true.shape} as the class numbers")
        counted &= valid.astype(bool, copy=False)
    return predicted[counted], true[counted]


def of_nothing(empty: float, counted: np.ndarray, targets: Arrays, classes: int | None) -> float:
    """Score of an image with empty target and prediction: `empty`, or nan if it has no valid pixel.

    Args:
        empty: score of the metric's argument `empty`.
        counted: result of `counts`; with class numbers each valid pixel has one true class.
        targets: target arrays of the image.
        classes: number of classes of class maps.
    """
    unknown = nothing_counts(targets) if classes is None else not counted[:, 2].any()
    return float("nan") if unknown else empty


def mean(scores: np.ndarray) -> float:
    """Mean without nan; nan if all are (a class that occurs nowhere, with `empty: .nan`)."""
    counted = ~np.isnan(scores)
    return float(scores[counted].mean()) if counted.any() else float("nan")


def masks(array: np.ndarray, name: str, ignore: int | None = None) -> np.ndarray:
    """Convert any mask to bool `(C, H, W)`."""
    if array.dtype.kind == "f":
        raise ValueError(f"{name!r} has probabilities, expected a mask: add postprocessing.Threshold to postprocess")
    array = array[None] if array.ndim == 2 else array
    if array.dtype == bool:
        return array
    return (array > 0) & (array != ignore) if ignore is not None else array > 0
