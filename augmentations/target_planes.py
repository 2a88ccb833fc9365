"""Targets of any type as planes for OpenCV, and back without loss."""

from typing import NamedTuple

import numpy as np


class Planes(NamedTuple):
    """Integers as planes of 8 or 16 bits, unchanged by nearest-neighbour sampling.

    Attributes:
        planes: planes `(H, W)`, uint8 or uint16.
        kind: integer type of the values; above 16 bits there is one plane per 16 bits, the lowest first.
    """

    planes: list[np.ndarray]
    kind: np.dtype


def packed(array: np.ndarray) -> Planes:
    """Planes of bools or integers `(H, W)` or `(K, H, W)`."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    sizes = (1, 2, 4, 8)
    kind = next(
        kind
        for kind in (np.dtype(f"{'i' if low < 0 else 'u'}{size}") for size in sizes)
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max
    )
    bits = array.astype(kind).view(f"u{kind.itemsize}")
    bits = bits[None] if array.ndim == 2 else bits
    if kind.itemsize > 2:
        bits = np.stack([(bits >> shift).astype(np.uint16) for shift in range(0, 8 * kind.itemsize, 16)], axis=1)
    return Planes(list(bits.reshape(-1, *array.shape[-2:])), kind)


def unpacked(planes: list[np.ndarray], kind: np.dtype, like: np.ndarray) -> np.ndarray:
    """The array of transformed planes.

    Args:
        planes: planes `(h, w)` of any type, in the order of `packed`.
        kind: type returned by `packed`.
        like: original array, which determines type and axes.
    """
    size = kind.itemsize
    parts = np.stack(planes).astype(f"u{min(size, 2)}", copy=False)
    if size > 2:
        parts = parts.reshape(-1, size // 2, *parts.shape[1:]).astype(f"u{size}")
        shifts = np.arange(0, 8 * size, 16, dtype=parts.dtype).reshape(1, -1, 1, 1)
        parts = np.bitwise_or.reduce(parts << shifts, axis=1)
    found = parts.view(kind).astype(like.dtype)
    return found if like.ndim == 3 else found[0]


def flags(valid: np.ndarray) -> np.ndarray:
    """`valid` `(H, W)` as two float maps `(2, H, W)` to transform with other float maps; see `is_unmixed`."""
    return np.stack([np.ones(valid.shape, np.float32), ~valid.astype(bool, copy=False)]).astype(np.float32)


def is_unmixed(moved: np.ndarray) -> np.ndarray:
    """Whether an interpolated value depends on valid pixels only, `(h, w)` bool.

    Args:
        moved: `flags` after the transform, 0 outside.
    """
    inside, void = moved
    return (inside > 0.999) & (void == 0)  # no contribution of void, however small


def as_floats(array: np.ndarray, name: str) -> np.ndarray:
    """A float target as float32, or float64 if it already is, which OpenCV can interpolate.

    Raises:
        ValueError: the type cannot be transformed.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(
            f"the target {name!r} is {array.dtype}, which augmentation cannot transform; expected bool, integers, or "
            "floats of 16 to 64 bits"
        )
    return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32, copy=False)
