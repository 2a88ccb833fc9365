"""Truth of any type as planes that OpenCV moves, and back without loss."""

from typing import NamedTuple

import numpy as np


class Planes(NamedTuple):
    """Integers as planes of 8 or 16 bits; moved by the nearest pixel they are what they were.

    Attributes:
        planes: `(H, W)` uint8 or uint16 each.
        kind: integer type that holds all values; of more than 16 bits it has a plane for every 16, the lowest first.
    """

    planes: list[np.ndarray]
    kind: np.dtype


def packed(array: np.ndarray) -> Planes:
    """Bool or integers `(H, W)` or `(K, H, W)` as planes."""
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
    """The array of moved planes.

    Args:
        planes: `(h, w)` of any type, in the order of `packed`.
        kind: as `packed` gave it.
        like: the array before it was moved: its type and axes.
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
    """`valid` `(H, W)` as two maps `(2, H, W)` float32 that move with maps of numbers; see `is_unmixed`."""
    return np.stack([np.ones(valid.shape, np.float32), ~valid.astype(bool, copy=False)]).astype(np.float32)


def is_unmixed(moved: np.ndarray) -> np.ndarray:
    """Where a number that was interpolated is made of pixels that count alone, `(h, w)` bool.

    Args:
        moved: `flags` after the move, 0 where they come from outside.
    """
    inside, void = moved
    return (inside > 0.999) & (void == 0)  # no part of what lies under void, however small


def as_floats(array: np.ndarray, name: str) -> np.ndarray:
    """Float truth in a type that OpenCV interpolates: float32, or float64 where it is that.

    Raises:
        ValueError: no number that a picture could hold; names the target.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(
            f"the target {name!r} is {array.dtype}, which augmentation cannot move; expected bool, integers, or floats "
            "of 16 to 64 bits"
        )
    return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32, copy=False)
