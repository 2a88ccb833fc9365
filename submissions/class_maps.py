"""Class numbers of pixels, from what a network or a chain of steps gives."""

import numpy as np


def class_map(array: np.ndarray, classes: int, name: str) -> np.ndarray:
    """Class numbers `(H, W)` int64 of a prediction.

    Args:
        array: class numbers `(H, W)`; probabilities `(C, H, W)`, of which the most probable class is taken, as metrics
            of class maps do; or a single bool mask `(1, H, W)`, which is class 1.
        classes: number of classes, including class 0.
        name: name of the array, for messages.

    Raises:
        ValueError: other arrays, or a number that is not a class.
    """
    if array.dtype.kind == "f" and array.ndim == 3 and len(array) == classes and classes > 1:
        return array.argmax(axis=0)
    if array.dtype == bool and array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or array.dtype.kind not in "biu":
        raise ValueError(
            f"{name!r} is {array.dtype} {array.shape}, expected class numbers (H, W), or probabilities of a softmax "
            f"({classes}, H, W): add postprocessing.ArgMax for class numbers"
        )
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high >= classes:
        raise ValueError(f"{name!r} has class {low if low < 0 else high}, expected 0 to {classes - 1}")
    return array.astype(np.int64)
