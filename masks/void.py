"""Void: pixels that a target, a reader or an augmentation declares to be ignored.

There `valid` is False and targets are empty: class numbers are 255, masks, instance ids and maps of numbers 0.
"""

from collections.abc import Iterable, Mapping

import numpy as np

VOID = 255  # class number of void pixels, as in torchvision, Pascal VOC and Cityscapes
Arrays = dict[str, np.ndarray]


def is_class_map(array: np.ndarray, axes: int = 2) -> bool:
    """Whether an array with the image's number of axes has class numbers: int64; ids have another integer type."""
    return array.ndim == axes and array.dtype == np.int64


def is_id_map(array: np.ndarray, axes: int = 2) -> bool:
    """Whether an array with the image's number of axes has object ids."""
    return array.ndim == axes and array.dtype.kind in "iu" and array.dtype != np.int64


def joined(parts: Iterable[Mapping[str, np.ndarray]], valid: np.ndarray | None, size: tuple[int, ...]) -> Arrays:
    """Join the arrays of several targets of one image, with one `valid` for all, and clear void pixels.

    Args:
        parts: arrays by name of each target, optionally with `valid`.
        valid: bool `size` from the reader; None if all pixels are valid.
        size: size of the image, `(H, W)` or `(D, H, W)`.

    Raises:
        ValueError: a `valid` has another size.
    """
    arrays: Arrays = {}
    known = [] if valid is None else [_flags(valid, size)]
    for part in parts:
        known += [_flags(part["valid"], size)] if "valid" in part else []
        arrays |= {name: array for name, array in part.items() if name != "valid"}
    return blanked(arrays | ({"valid": np.logical_and.reduce(known)} if known else {}), size)


def blanked(arrays: Mapping[str, np.ndarray], size: tuple[int, ...]) -> Arrays:
    """Clear void pixels in all arrays; `valid` `size` is in the result only if some pixels are void.

    Class number 255 makes a pixel void in all arrays of the image.

    Args:
        arrays: target arrays by name, optionally with `valid`.
        size: size of the image, `(H, W)` or `(D, H, W)`.
    """
    axes, result = len(size), dict(arrays)
    valid = result.pop("valid", None)
    for array in result.values():
        if is_class_map(array, axes) and array.shape == tuple(size):
            counted = array != VOID
            valid = counted if valid is None else valid & counted
    if valid is None or valid.all():
        return result
    for name, array in result.items():
        if not name.endswith("boxes") and array.ndim >= axes and array.shape[-axes:] == tuple(size):
            nothing = array.dtype.type(VOID if is_class_map(array, axes) else 0)
            result[name] = np.where(valid, array, nothing)
    return result | {"valid": valid}


def foreground(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Valid foreground of masks `(K, *spatial)`, ids or class numbers `(*spatial)`: bool of their shape.

    Args:
        arrays: target arrays by name, optionally with `valid` `(*spatial)`.
        name: name of the array.
    """
    found, valid = arrays[name] > 0, arrays.get("valid")
    return found if valid is None or found.shape[-valid.ndim :] != valid.shape else found & valid


def _flags(valid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Convert `valid` to bool of the image size; files of 0 and 1 may have an extra axis."""
    plane = valid[0] if valid.ndim == len(size) + 1 and len(valid) == 1 else valid
    if plane.shape != tuple(size):
        raise ValueError(f"`valid` is {valid.shape}, expected {tuple(size)} as the image: a flag per pixel")
    return plane.astype(bool, copy=False)
