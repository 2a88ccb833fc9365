"""Lossless PNG files through OpenCV, with 8 or 16 bits per channel."""

import os
from pathlib import Path

import cv2
import numpy as np

from files.writing import write_bytes


def write_png(path: Path | str, image: np.ndarray, bgr: bool = False, durable: bool = True) -> int:
    """Write a lossless PNG atomically; returns its size in bytes.

    Args:
        path: path of the file.
        image: image `(H, W)` or `(H, W, C)` with 1, 3 or 4 channels, uint8 or uint16, RGB(A).
        bgr: whether channels are in OpenCV's order, BGR(A).
        durable: as in `files.atomic.atomic_path`.

    Raises:
        ValueError: a type or number of channels that PNG does not support.
    """
    if (
        image.dtype not in (np.uint8, np.uint16)
        or image.ndim not in (2, 3)
        or (image.shape[2:] or (1,))[0]
        not in (
            1,
            3,
            4,
        )
    ):
        raise ValueError(f"image is {image.dtype} {image.shape}, PNG supports 1, 3 or 4 channels of 8 or 16 bits")
    _, content = cv2.imencode(".png", image if bgr else _other_order(image))
    return write_bytes(path, content.tobytes(), durable)


def read_png(path: Path | str, bgr: bool = False) -> np.ndarray:
    """Read a PNG as `(H, W, C)` in its own bit depth, RGB(A) or gray.

    Args:
        path: path of the file.
        bgr: whether to return channels in OpenCV's order, BGR(A).

    Raises:
        ValueError: not an image, or damaged; names the file.
    """
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if os.path.getsize(path) else None
    if image is None:
        raise ValueError(f"{path} is not a readable image")
    image = image if image.ndim == 3 else image[..., None]
    return image if bgr else _other_order(image)


def _other_order(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] < 3:
        return image
    return np.ascontiguousarray(image[..., [2, 1, 0, 3][: image.shape[2]]])
