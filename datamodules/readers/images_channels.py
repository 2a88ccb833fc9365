"""The samples of a picture as the channels that a network or a target wants."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from datamodules.readers.base import ImageReadError

Channels = Literal["rgb", "gray", "unchanged"]
Pages = Literal["channels", "stack"] | int | None
WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in gray, ITU-R BT.601


def page_numbers(path: Path | str, count: int, pages: Pages) -> range:
    """The numbers of the pages that are wanted of a file with so many, from 0.

    Raises:
        ImageReadError: more than one where none was asked for, or a page that is not there.
    """
    if isinstance(pages, int):
        if not 0 <= pages < count:
            raise ImageReadError(f"{path} has {count} pages, no page {pages} (they count from 0); see reader.pages")
        return range(pages, pages + 1)
    if pages is None and count != 1:
        raise ImageReadError(
            f"{path} has {count} pages, expected one picture: set reader.pages to the number of one (from 0), or to "
            "`channels` where each is a channel; a mask or label file must be split"
        )
    return range(count)


def count_channels(path: Path | str, colours: int, channels: Channels) -> int:
    """How many channels `as_channels` gives of so many samples without alpha.

    Raises:
        ImageReadError: neither gray nor red, green and blue, so that some would be lost.
    """
    if channels == "unchanged":
        return colours
    if colours not in (1, 3):
        raise ImageReadError(
            f"{path} has {colours} channels, which `channels: {channels}` would drop some of; set reader.channels: "
            "unchanged to keep all"
        )
    return 3 if channels == "rgb" else 1


def as_channels(path: Path | str, samples: np.ndarray, channels: Channels) -> np.ndarray:
    """Gray or RGB samples `(..., H, W, 1 or 3)` as `rgb`, `gray` or as they are, in their own type.

    Raises:
        ImageReadError: another number of samples, where not all are wanted.
    """
    count_channels(path, samples.shape[-1], channels)
    if channels == "rgb" and samples.shape[-1] == 1:
        fast = samples.ndim == 3 and samples.dtype in (np.uint8, np.uint16, np.int16, np.float32)
        return cv2.merge([samples] * 3) if fast else np.repeat(samples, 3, axis=-1)
    return luma(samples)[..., None] if channels == "gray" and samples.shape[-1] == 3 else samples


def luma(colours: np.ndarray) -> np.ndarray:
    """Gray `(..., H, W)` of RGB `(..., H, W, 3)` in its own type; whole numbers are rounded to the nearest."""
    if colours.ndim == 3 and colours.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))
    if colours.ndim == 3 and colours.dtype in (np.uint16, np.float32):
        return cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2GRAY)
    gray = colours.astype(np.float64) @ np.array(WEIGHTS)
    return (np.rint(gray) if colours.dtype.kind in "iub" else gray).astype(colours.dtype)


def white(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples of less than 8 bits with white at 255, uint8."""
    return np.rint(samples.astype(np.float32) * (255 / (2**bits - 1))).astype(np.uint8)
