"""Resizing of images and masks."""

from typing import Literal

import cv2
import numpy as np

from preprocessing.base import Preprocess

EXACT = (np.uint8, np.uint16, np.int16, np.float32, np.float64)  # types that cv2 resizes without conversion


class Resize(Preprocess):
    """Resize images, and masks by nearest neighbour; see `resize_image`.

    Args:
        size: `[height, width]` in pixels, or the longer side, keeping the aspect ratio. (Carvana, 11th place: a coarse
            mask at `[320, 480]`, then tiles along its edge at full size.)
        enlarge: interpolation for axes that grow, `linear` or `cubic`. Axes that shrink are always averaged.
    """

    changes_shape = True

    def __init__(self, size: tuple[int, int] | int, enlarge: Literal["linear", "cubic"] = "linear") -> None:
        sides = (size,) if isinstance(size, int) else tuple(size)
        if min(sides) < 1:
            raise ValueError(f"Resize: size is {size}, expected [height, width] in pixels, 1 or more")
        self.size, self.enlarge = size, enlarge

    def image(self, image: np.ndarray) -> np.ndarray:
        return resize_image(image, target_size(image.shape[:2], self.size), self.enlarge)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        return resize_mask(mask, target_size(mask.shape[-2:], self.size))


def target_size(size: tuple[int, int], wanted: tuple[int, int] | int) -> tuple[int, int]:
    """Return `(H, W)` of an image of `size` `(H, W)` resized to `wanted`, which is `(H, W)` or the longer side."""
    if not isinstance(wanted, int):
        return int(wanted[0]), int(wanted[1])
    factor = wanted / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_image(
    image: np.ndarray, size: tuple[int, int], enlarge: Literal["linear", "cubic"] = "linear"
) -> np.ndarray:
    """Resize an image; the type is kept.

    Args:
        image: `(H, W, C)` or `(H, W)`; uint8, uint16, int16, float32 or float64.
        size: `(H, W)`, height first (OpenCV uses width first).
        enlarge: interpolation for axes that grow; axes that shrink are averaged (INTER_AREA) to avoid aliasing.

    Raises:
        ValueError: if the type is not supported; use `resize_mask` for class numbers.
    """
    if image.dtype not in EXACT:
        raise ValueError(f"image is {image.dtype}, expected one of {', '.join(kind.__name__ for kind in EXACT)}")
    height, width = size
    # INTER_AREA averages only if both axes shrink, so shrinking and growing axes are resized separately.
    smaller = (min(height, image.shape[0]), min(width, image.shape[1]))
    result = image
    if smaller != image.shape[:2]:
        result = cv2.resize(result, smaller[::-1], interpolation=cv2.INTER_AREA)
    if (height, width) != smaller:
        how = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[enlarge]
        result = cv2.resize(result, (width, height), interpolation=how)
    return result.reshape(height, width, *image.shape[2:])  # cv2 drops a single channel


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask or label image by nearest neighbour, aligned at pixel centres.

    Args:
        mask: `(…, H, W)` of any type.
        size: `(H, W)`.
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)  # floor((i + 0.5) * old / new) without rounding
        for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    return np.take(np.take(mask, rows, axis=-2), columns, axis=-1)
