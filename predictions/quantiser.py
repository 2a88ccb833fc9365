"""Probabilities as bytes, in steps of 1/255: what stores keep, searches hold in memory and histograms count."""

from typing import Literal

import numpy as np

Stored = Literal["uint8", "float16", "float32"]
STEPS = 255  # from 0 to 1
LEVELS = np.arange(STEPS + 1) / STEPS  # the probability that each byte means
ROUNDING = 1e-5  # a blend of probabilities may be so much above 1: its weights add up to 1 but for the last bits


def to_steps(values: np.ndarray) -> np.ndarray:
    """Values in 0..1 as the nearest step, uint8, what lies outside clipped. `inference.tiles.to_bytes` is its twin."""
    return np.rint(np.clip(values, 0, 1, dtype=np.float32) * np.float32(STEPS)).astype(np.uint8)


def from_steps(steps: np.ndarray, scale: float = STEPS) -> np.ndarray:
    """The float32 values that steps of 1 / `scale` mean."""
    values = steps.astype(np.float32)
    values /= np.float32(scale)
    return values


def stored_as(array: np.ndarray, dtype: Stored) -> tuple[np.ndarray, float | None]:
    """The array in the type it is stored in, and the factor that restores it."""
    if array.dtype.kind != "f":
        return array, None
    if dtype != "uint8":
        return array.astype(dtype), None
    # NaN is neither above nor below.
    if array.ndim in (3, 4) and array.size and array.min() >= 0 and array.max() <= 1 + ROUNDING:
        return to_steps(array), float(STEPS)
    return array.astype(np.float32), None


def restored(array: np.ndarray, scale: float | None) -> np.ndarray:
    """What reading makes of what `stored_as` gave: floats as float32, other types as they are."""
    if scale is not None:
        return from_steps(array, scale)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
