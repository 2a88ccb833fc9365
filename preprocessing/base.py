"""The base class of preprocessing steps, and the full scale of pixel values."""

from abc import ABC, abstractmethod

import numpy as np


class Preprocess(ABC):
    """A deterministic step of `python cli.py prepare --steps`, from array to array.

    A subclass stores each constructor argument as an attribute of the same name, so that `prepare` detects changed
    settings. A step that sets `changes_shape` also transforms masks.
    """

    changes_shape: bool = False

    @abstractmethod
    def image(self, image: np.ndarray) -> np.ndarray:
        """Apply the step to an image `(H, W, C)`; the type is kept."""

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Apply the step to a mask or label image `(H, W)` or `(K, H, W)`; unchanged unless the step moves pixels."""
        return mask


def full_scale(image: np.ndarray, max_value: float | None = None) -> float:
    """Return the pixel value of white.

    Args:
        image: array of uint8, uint16, float32 or float64.
        max_value: largest possible value, for example 4095 for 12 bits stored in 16 (default: 255 for uint8, 65535 for
            uint16, 1 for floats).

    Raises:
        ValueError: if the image has another type, or values outside 0 … max_value.
    """
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ValueError(
            f"image is {image.dtype}, expected uint8, uint16, or float in 0 … 1; apply a window to signed data first "
            "(preprocessing.hounsfield.window)"
        )
    integer = np.issubdtype(image.dtype, np.integer)
    scale = float(max_value if max_value is not None else np.iinfo(image.dtype).max if integer else 1.0)
    if not scale > 0:
        raise ValueError(f"max_value is {max_value}, expected above 0")
    if image.size and (max_value is not None or not integer):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= scale):  # a NaN is caught too
            raise ValueError(f"image has values {low} … {high}, expected 0 … {scale:g}; set `max_value`")
    return scale


def from_share(share: np.ndarray, like: np.ndarray, scale: float) -> np.ndarray:
    """Convert shares 0 … 1 of `scale` to the type of `like`; integers are rounded to nearest."""
    values = np.clip(share, 0, 1) * scale
    return (np.rint(values) if np.issubdtype(like.dtype, np.integer) else values).astype(like.dtype)
