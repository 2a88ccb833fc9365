"""Conversion of image samples to the channels of a network or a target."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from datamodules.readers.base import ImageReadError

Channels = Literal["rgb", "gray", "unchanged"]
Pages = Literal["channels", "stack"] | int | None
WEIGHTS = (0.299, 0.587, 0.114)  # weights of red, green and blue in gray, ITU-R BT.601


def page_numbers(path: Path | str, count: int, pages: Pages) -> range:
    """Return the numbers, from 0, of the requested pages of a file with `count` pages.

    Raises:
        ImageReadError: if there are several pages but none was requested, or a page does not exist.
    """
    if isinstance(pages, int):
        if not 0 <= pages < count:
            raise ImageReadError(f"{path} has {count} pages, but reader.pages is {pages}, expected 0 to {count - 1}")
        return range(pages, pages + 1)
    if pages is None and count != 1:
        raise ImageReadError(
            f"{path} has {count} pages, expected 1: set reader.pages to the number of one page (from 0), or to "
            "`channels` if each is a channel; mask and label files must be split"
        )
    return range(count)


def count_channels(path: Path | str, colours: int, channels: Channels) -> int:
    """Return the number of channels of `as_channels` for a number of samples without alpha.

    Raises:
        ImageReadError: if the image is neither gray nor RGB, so that samples would be lost.
    """
    if channels == "unchanged":
        return colours
    if colours not in (1, 3):
        raise ImageReadError(
            f"{path} has {colours} channels, of which `channels: {channels}` would drop some; set reader.channels: "
            "unchanged to keep all"
        )
    return 3 if channels == "rgb" else 1


def as_channels(path: Path | str, samples: np.ndarray, channels: Channels) -> np.ndarray:
    """Convert gray or RGB samples `(..., H, W, 1 or 3)` to `rgb` or `gray`, or return them unchanged; keeps the type.

    Raises:
        ImageReadError: if there is another number of samples, unless `unchanged`.
    """
    count_channels(path, samples.shape[-1], channels)
    if channels == "rgb" and samples.shape[-1] == 1:
        fast = samples.ndim == 3 and samples.dtype in (np.uint8, np.uint16, np.int16, np.float32)
        return cv2.merge([samples] * 3) if fast else np.repeat(samples, 3, axis=-1)
    return luma(samples)[..., None] if channels == "gray" and samples.shape[-1] == 3 else samples


def luma(colours: np.ndarray) -> np.ndarray:
    """Convert RGB `(..., H, W, 3)` to gray `(..., H, W)` in its own type; integers are rounded to nearest."""
    if colours.ndim == 3 and colours.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))
    if colours.ndim == 3 and colours.dtype in (np.uint16, np.float32):
        return cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2GRAY)
    gray = colours.astype(np.float64) @ np.array(WEIGHTS)
    return (np.rint(gray) if colours.dtype.kind in "iub" else gray).astype(colours.dtype)


def white(samples: np.ndarray, bits: int) -> np.ndarray:
    """Scale samples of less than 8 bits to uint8, with white at 255."""
    return np.rint(samples.astype(np.float32) * (255 / (2**bits - 1))).astype(np.uint8)
