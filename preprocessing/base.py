"""The base of every preprocessing step, and what number means white."""

from abc import ABC, abstractmethod

import numpy as np


class Preprocess(ABC):
    """A step of `python cli.py prepare --steps`: from an array to an array, without randomness.

    A subclass keeps each argument of its constructor under its own name: by them `prepare` sees that settings have
    changed. A step that sets `changes_shape` treats the masks too.
    """

    changes_shape: bool = False

    @abstractmethod
    def image(self, image: np.ndarray) -> np.ndarray:
        """The image `(H, W, C)` after the step, in its own type."""

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """A mask or label image `(H, W)` or `(K, H, W)` after the step; unchanged unless the step moves pixels."""
        return mask


def full_scale(image: np.ndarray, max_value: float | None = None) -> float:
    """The number that means white: 255 or 65535 by type, 1 for floats, unless `max_value` says otherwise.

    Args:
        image: uint8, uint16, float32 or float64.
        max_value: largest value the data can have; 4095 for 12 bits in a 16-bit type.

    Raises:
        ValueError: another type, or values outside 0 … max_value.
    """
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ValueError(
            f"the image is {image.dtype}, expected uint8, uint16, or float in 0 … 1; window signed data first "
            "(preprocessing.hounsfield.window)"
        )
    integer = np.issubdtype(image.dtype, np.integer)
    scale = float(max_value if max_value is not None else np.iinfo(image.dtype).max if integer else 1.0)
    if not scale > 0:
        raise ValueError(f"max_value is {max_value}, expected above 0")
    if image.size and (max_value is not None or not integer):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= scale):  # a NaN is caught too
            raise ValueError(f"the image holds {low} … {high}, expected 0 … {scale:g}; set `max_value`")
    return scale


def from_share(share: np.ndarray, like: np.ndarray, scale: float) -> np.ndarray:
    """Shares 0 … 1 of `scale` in the type of `like`; integers are rounded to the nearest."""
    values = np.clip(share, 0, 1) * scale
    return (np.rint(values) if np.issubdtype(like.dtype, np.integer) else values).astype(like.dtype)
