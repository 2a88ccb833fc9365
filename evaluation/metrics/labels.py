"""What label metrics read: which classes an image has, its one class, or the probabilities of the classes.

Truth comes as the target `Labels` gives it: a class number int64 `()`, or float32 `(K,)` of 0 and 1, or the K - 1
answers of grades.
"""

import numpy as np

from evaluation.metrics.base import Arrays, named


def flags(arrays: Arrays, name: str, what: str, classes: int | None = None) -> np.ndarray:
    """Which classes an image has, bool `(K,)`.

    Args:
        arrays: holds `name`: bool `(K,)`, or 0 and 1 of any number type in a truth; or a class number `()`, which
            `classes` turns into K flags.
        name: of the array.
        what: `prediction` or `truth`.
        classes: K, where class numbers are.
    """
    array = np.asarray(named(arrays, name, what))
    if array.ndim == 0 and classes is not None:
        return np.arange(classes) == class_number(arrays, name, what, classes)
    _no_probabilities(array, name, what)
    if array.ndim != 1:
        hint = "; set classes for class numbers" if array.ndim == 0 else ""
        raise ValueError(f"{what} {name!r} is {array.dtype} {array.shape}, expected one flag per class (K,){hint}")
    if classes is not None and len(array) != classes:
        raise ValueError(f"{what} {name!r} has {len(array)} flags for {classes} classes")
    if array.dtype != bool and not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{what} {name!r} holds {np.unique(array)[:5].tolist()}, expected 0 and 1")
    return array.astype(bool)


def class_number(arrays: Arrays, name: str, what: str, classes: int) -> int:
    """The one class of an image, 0 … K - 1.

    Args:
        arrays: holds `name`: a class number `()` or `(1,)`; or `(K,)` with a single 1; or the answers to "above grade
            k?" `(K - 1,)`, whose number of yes is the grade.
        name: of the array.
        what: `prediction` or `truth`.
        classes: K.
    """
    array = np.asarray(named(arrays, name, what))
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
        f"{what} {name!r} is {array.dtype} {array.shape}, expected a class number (), one flag in ({classes},), or the "
        f"answers of grades ({classes - 1},)"
    )


def probabilities(prediction: Arrays, name: str) -> np.ndarray:
    """Probabilities of the classes, float64 `(K,)`, in 0..1."""
    array = np.asarray(named(prediction, name, "prediction"))
    if array.dtype.kind != "f" or array.ndim != 1:
        raise ValueError(
            f"prediction {name!r} is {array.dtype} {array.shape}, expected probabilities (K,): leave out the step "
            "that decides"
        )
    if not ((array >= 0) & (array <= 1 + 1e-6)).all():
        raise ValueError(f"prediction {name!r} holds {array.min()} to {array.max()}, expected probabilities in 0..1")
    return array.astype(np.float64)


def _no_probabilities(array: np.ndarray, name: str, what: str) -> None:
    if what == "prediction" and array.dtype.kind not in "biu":
        raise ValueError(
            f"prediction {name!r} holds {array.dtype}, a decision is wanted: add postprocessing.LabelThreshold "
            "(several classes, grades) or postprocessing.ArgMax (one class) before it"
        )
