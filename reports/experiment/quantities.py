"""Share of foreground and number of objects of an image, by which predictions are compared with targets."""

import cv2
import numpy as np

from evaluation.void import without_void

NAMES = ("share of the image", "objects")


def quantities(array: np.ndarray, classes: int | None = None, valid: np.ndarray | None = None) -> np.ndarray:
    """Share of the image that is foreground, and number of objects, `(2,)` float64.

    Args:
        array: masks `(C, H, W)` (anything above 0; objects are components of each channel), or ids `(H, W)` of
            instances; of volumes with a depth, where objects are not counted (NaN).
        classes: K, of class numbers `(H, W)` or probabilities `(K, H, W)` of classes that exclude each other; all but
            class 0 are foreground.
        valid: `(H, W)` bool, the pixels that count, at least one; all unless given.
    """
    if valid is not None:
        array = without_void({"map": array}, {"valid": valid})["map"]
    if classes is not None and (array.dtype.kind == "f" or (array.ndim == 2 and array.dtype != bool)):
        numbers = array.argmax(0) if array.dtype.kind == "f" else array
        array = np.stack([numbers == number for number in range(1, classes)])
    if array.dtype.kind == "f":
        array = array > 0.5
    pixels = (array if array.ndim == 2 else array[0]).size if valid is None else np.count_nonzero(valid)
    if array.ndim == 2:
        return np.array([np.count_nonzero(array) / pixels, len(np.unique(array[array > 0]))], np.float64)
    share = np.count_nonzero(array.any(0)) / pixels
    if array.ndim > 3:
        return np.array([share, np.nan])
    planes = [np.ascontiguousarray(plane > 0).astype(np.uint8) for plane in array]
    return np.array([share, sum(cv2.connectedComponents(plane, connectivity=4)[0] - 1 for plane in planes)], np.float64)


def summary(values: np.ndarray) -> dict[str, float]:
    """Share of empty images, and quartiles of the others, of `(N, 2)` quantities."""
    filled = values[values[:, 0] > 0]
    found = {"images": len(values), "share empty": 1 - len(filled) / max(1, len(values))}
    for number, name in enumerate(NAMES):
        low, middle, high = np.quantile(filled[:, number], (0.05, 0.5, 0.95)) if len(filled) else np.full(3, np.nan)
        found |= {f"{name}: 5 %": low, f"{name}: median": middle, f"{name}: 95 %": high}
    return found


def outlier_score(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far each image's quantities lie from the middle of a reference, `(N,)`.

    Robust deviations (1.4826 times the median absolute deviation) of the logarithms, the larger of both quantities;
    empty images are no outliers.
    """
    known = reference[reference[:, 0] > 0]
    if len(known) < 3:
        return np.zeros(len(values))
    result = np.zeros(len(values))
    for number in range(len(NAMES)):
        if np.isnan(known[:, number]).any():
            continue
        logs = np.log(np.maximum(known[:, number], 1e-6))
        middle = np.median(logs)
        spread = max(1.4826 * np.median(np.abs(logs - middle)), 0.1)
        own = np.abs(np.log(np.maximum(values[:, number], 1e-6)) - middle) / spread
        result = np.maximum(result, np.where(values[:, 0] > 0, own, 0))
    return result
