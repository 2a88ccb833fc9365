"""PNG files through OpenCV: 8 and 16 bits a channel, exact."""

import os
from pathlib import Path

import cv2
import numpy as np

from files.writing import write_bytes


def write_png(path: Path | str, image: np.ndarray, bgr: bool = False, durable: bool = True) -> int:
    """Write a PNG without loss, at once; returns its size in bytes.

    Args:
        path: the file.
        image: `(H, W)` or `(H, W, C)` with 1, 3 or 4 channels, uint8 or uint16, RGB(A).
        bgr: the channels are in OpenCV's own order.
        durable: as in `files.atomic.atomic_path`.

    Raises:
        ValueError: a type or number of channels that PNG does not have.
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
        raise ValueError(f"PNG holds 1, 3 or 4 channels of 8 or 16 bits, not {image.dtype} {image.shape}")
    _, content = cv2.imencode(".png", image if bgr else _other_order(image))
    return write_bytes(path, content.tobytes(), durable)


def read_png(path: Path | str, bgr: bool = False) -> np.ndarray:
    """`(H, W, C)` of a PNG in its own depth, RGB(A) or gray.

    Args:
        path: the file.
        bgr: give the channels in OpenCV's own order.

    Raises:
        ValueError: no picture, or a damaged one; names the file.
    """
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if os.path.getsize(path) else None
    if image is None:
        raise ValueError(f"{path} is no picture that can be read")
    image = image if image.ndim == 3 else image[..., None]
    return image if bgr else _other_order(image)


def _other_order(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] < 3:
        return image
    return np.ascontiguousarray(image[..., [2, 1, 0, 3][: image.shape[2]]])
