"""What does not count: pixels that a target, a reader or an augmentation declares void.

There `valid` is False and no truth holds anything: class numbers are 255, masks, instance ids and maps of numbers 0.
"""

from collections.abc import Iterable, Mapping

import numpy as np

VOID = 255  # class number of pixels that do not count, as in torchvision, Pascal VOC and Cityscapes
Arrays = dict[str, np.ndarray]


def is_class_map(array: np.ndarray, axes: int = 2) -> bool:
    """Whether an array with the image's number of axes holds class numbers: int64; ids have any other whole type."""
    return array.ndim == axes and array.dtype == np.int64


def is_id_map(array: np.ndarray, axes: int = 2) -> bool:
    """Whether an array with the image's number of axes holds ids of objects."""
    return array.ndim == axes and array.dtype.kind in "iu" and array.dtype != np.int64


def joined(parts: Iterable[Mapping[str, np.ndarray]], valid: np.ndarray | None, size: tuple[int, ...]) -> Arrays:
    """The arrays of several targets of one image, with one `valid` for all, and nothing under void.

    Args:
        parts: arrays by name of each target, `valid` among them where some pixels do not count.
        valid: bool `size`, what the reader says; None when every pixel counts.
        size: of the image, `(H, W)` or `(D, H, W)`.

    Raises:
        ValueError: a `valid` of another size.
    """
    arrays: Arrays = {}
    known = [] if valid is None else [_flags(valid, size)]
    for part in parts:
        known += [_flags(part["valid"], size)] if "valid" in part else []
        arrays |= {name: array for name, array in part.items() if name != "valid"}
    return blanked(arrays | ({"valid": np.logical_and.reduce(known)} if known else {}), size)


def blanked(arrays: Mapping[str, np.ndarray], size: tuple[int, ...]) -> Arrays:
    """Arrays that hold nothing where a pixel does not count; `valid` `size` only where some do not.

    Class number 255 makes a pixel void for all arrays of the image.

    Args:
        arrays: truth by name, perhaps with `valid`.
        size: of the image, `(H, W)` or `(D, H, W)`.
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
    """Where masks `(K, *spatial)`, ids or class numbers `(*spatial)` hold something that counts: bool of their shape.

    Args:
        arrays: truth by name, perhaps with `valid` `(*spatial)`.
        name: of the array.
    """
    found, valid = arrays[name] > 0, arrays.get("valid")
    return found if valid is None or found.shape[-valid.ndim :] != valid.shape else found & valid


def _flags(valid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """`valid` as bool of the image's size; files of 0 and 1 may give it one axis more."""
    plane = valid[0] if valid.ndim == len(size) + 1 and len(valid) == 1 else valid
    if plane.shape != tuple(size):
        raise ValueError(f"`valid` is {valid.shape}, its image {tuple(size)}: it says of each pixel whether it counts")
    return plane.astype(bool, copy=False)
