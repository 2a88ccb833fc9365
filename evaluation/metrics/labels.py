"""Labels as metrics read them: flags of the classes of an image, its single class, or class probabilities.

Targets have the format of the target `Labels`: a class number int64 `()`, float32 `(K,)` of 0 and 1, or K - 1
cumulative grade flags.
"""

import numpy as np

from evaluation.metrics.base import Arrays, require_array


def flags(arrays: Arrays, name: str, what: str, classes: int | None = None) -> np.ndarray:
    """Flags of the classes of an image, bool `(K,)`.

    Args:
        arrays: arrays with `name`: bool `(K,)`, or 0 and 1 of any number type in a target; or a class number `()`,
            which `classes` turns into K flags.
        name: name of the array.
        what: `prediction` or `target`.
        classes: number of classes K, required for class numbers.
    """
    array = np.asarray(require_array(arrays, name, what))
    if array.ndim == 0 and classes is not None:
        return np.arange(classes) == class_number(arrays, name, what, classes)
    _no_probabilities(array, name, what)
    if array.ndim != 1:
        hint = "; for class numbers set classes" if array.ndim == 0 else ""
        raise ValueError(f"{what} {name!r} is {array.dtype} {array.shape}, expected one flag per class (K,){hint}")
    if classes is not None and len(array) != classes:
        raise ValueError(f"{what} {name!r} has {len(array)} flags, expected {classes}, one per class")
    if array.dtype != bool and not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{what} {name!r} holds {np.unique(array)[:5].tolist()}, expected 0 and 1")
    return array.astype(bool)


def class_number(arrays: Arrays, name: str, what: str, classes: int) -> int:
    """Single class of an image, 0 … K - 1.

    Args:
        arrays: arrays with `name`: a class number `()` or `(1,)`; one-hot flags `(K,)`; or cumulative flags "above
            grade k" `(K - 1,)`, whose sum is the grade.
        name: name of the array.
        what: `prediction` or `target`.
        classes: number of classes K.
    """
    array = np.asarray(require_array(arrays, name, what))
    _no_probabilities(array, name, what)
    whole = array.dtype.kind in "biu" or (array == np.round(array)).all()
    if array.size == 1 and array.ndim <= 1 and whole:
        number = int(array.reshape(-1)[0])
        if not 0 <= number < classes:
            raise ValueError(f"{what} {name!r} is class {number}, expected 0 to {classes - 1}")
        return number
    if array.shape == (classes,):
        if flags(arrays, name, what).sum() != 1:
            raise ValueError(f"{what} {name!r} has {int(flags(arrays, name, what).sum())} classes, expected one")
        return int(array.argmax())
    if array.shape == (classes - 1,):
        return int(flags(arrays, name, what).sum())
    raise ValueError(
        f"{what} {name!r} is {array.dtype} {array.shape}, expected a class number (), one-hot flags ({classes},), or "
        f"cumulative grade flags ({classes - 1},)"
    )


def probabilities(prediction: Arrays, name: str) -> np.ndarray:
    """Class probabilities, float64 `(K,)` in 0..1."""
    array = np.asarray(require_array(prediction, name, "prediction"))
    if array.dtype.kind != "f" or array.ndim != 1:
        raise ValueError(
            f"prediction {name!r} is {array.dtype} {array.shape}, expected probabilities (K,): remove the "
            "post-processing step that thresholds them"
        )
    if not ((array >= 0) & (array <= 1 + 1e-6)).all():
        raise ValueError(
            f"prediction {name!r} ranges from {array.min()} to {array.max()}, expected probabilities in 0..1"
        )
    return array.astype(np.float64)


def _no_probabilities(array: np.ndarray, name: str, what: str) -> None:
    if what == "prediction" and array.dtype.kind not in "biu":
        raise ValueError(
            f"prediction {name!r} is {array.dtype}, expected a decision: add postprocessing.LabelThreshold (several "
            "classes, grades) or postprocessing.ArgMax (one class) to postprocess"
        )
