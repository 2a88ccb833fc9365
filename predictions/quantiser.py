"""Probabilities as bytes, in steps of 1/255: for stores, searches in memory and histograms."""

from typing import Literal

import numpy as np

Stored = Literal["uint8", "float16", "float32"]
STEPS = 255  # from 0 to 1
LEVELS = np.arange(STEPS + 1) / STEPS  # probability of each byte
ROUNDING = 1e-5  # tolerance above 1 for blends of probabilities, whose weights sum to 1 up to rounding


def to_steps(values: np.ndarray) -> np.ndarray:
    """Quantise values to the nearest step of 0..1, uint8, with clipping. `inference.tiles.to_bytes` does the same."""
    return np.rint(np.clip(values, 0, 1, dtype=np.float32) * np.float32(STEPS)).astype(np.uint8)


def from_steps(steps: np.ndarray, scale: float = STEPS) -> np.ndarray:
    """Convert steps of 1 / `scale` to float32 values."""
    values = steps.astype(np.float32)
    values /= np.float32(scale)
    return values


def stored_as(array: np.ndarray, dtype: Stored) -> tuple[np.ndarray, float | None]:
    """Convert an array to its type on disk; returns it and the factor that restores it."""
    if array.dtype.kind != "f":
        return array, None
    if dtype != "uint8":
        return array.astype(dtype), None
    # Comparisons with NaN are False, so NaN is not quantised.
    if array.ndim in (3, 4) and array.size and array.min() >= 0 and array.max() <= 1 + ROUNDING:
        return to_steps(array), float(STEPS)
    return array.astype(np.float32), None


def restored(array: np.ndarray, scale: float | None) -> np.ndarray:
    """Undo `stored_as`: floats become float32, other types are unchanged."""
    if scale is not None:
        return from_steps(array, scale)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
