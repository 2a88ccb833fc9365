"""Plain images: PNG, JPEG, TIFF, GIF and others, with the values of the file."""

from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.images_channels import Channels, Pages
from datamodules.readers.images_pillow import PillowPicture
from datamodules.readers.images_tiff import TIFF_MARKS, TiffPicture
from datamodules.row import Row

LIMIT = 300_000_000


class ImageReader(Reader):
    """Reads an image in the file's type, in the orientation of its EXIF tag.

    Formats: PNG, JPEG, TIFF, JPEG 2000, GIF, WebP, BMP, PGM and PPM, and some rarer ones of 8 bits. Files that can only
    be read with changed values are errors.

    Args:
        channels: `rgb` returns 3 channels (gray is repeated, a palette resolved, alpha dropped), `gray` returns 1;
            files with more channels, such as near infrared besides RGB, are then errors. `unchanged` returns the
            channels of the file: a palette as indices, 1 bit as False and True.
        max_pixels: maximum number of pixels; a small file can otherwise decode to many gigabytes.
        pages: page to read of a multi-page TIFF or an animation, from 0, or `channels` to read all pages as channels
            (default: such files are errors). Pages that are slices of a volume are read by `VolumeReader`.
    """

    def __init__(
        self,
        channels: Literal["rgb", "gray", "unchanged"] = "rgb",
        max_pixels: int = LIMIT,
        pages: Literal["channels"] | int | None = None,
    ) -> None:
        self.channels, self.max_pixels, self.pages = channels, max_pixels, pages

    def read(self, row: Row) -> np.ndarray:
        return read_picture(row.path, self.channels, self.max_pixels, self.pages)

    def size(self, row: Row) -> tuple[int, int]:
        return picture_size(row.path, self.max_pixels, self.pages)

    def pixels(self, row: Row) -> Pixels:
        return picture_pixels(row.path, self.channels, self.max_pixels, self.pages)

    def check(self, row: Row) -> None:
        check_picture(row.path, self.max_pixels, self.channels, self.pages)


def read_picture(
    path: Path | str, channels: Channels = "rgb", max_pixels: int = LIMIT, pages: Pages = None
) -> np.ndarray:
    """Return an image file as `(H, W, C)` in its own type; `(D, H, W, C)` with `pages` "stack".

    Raises:
        ImageReadError: if the file is missing, empty, truncated or not an image, has more pages than requested, or
            values that cannot be read unchanged; names the file. Missing pixels are never replaced by gray.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.read(channels)


def picture_size(path: Path | str, max_pixels: int = LIMIT, pages: Pages = None) -> tuple[int, ...]:
    """Return `(H, W)` of the result of `read_picture`, from the header; `(D, H, W)` of a stack.

    Raises:
        ImageReadError: if the file is missing, empty, not an image or too large; names it. Truncated files are valid.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.size


def picture_pixels(
    path: Path | str, channels: Channels = "rgb", max_pixels: int = LIMIT, pages: Pages = None
) -> Pixels:
    """Return type and number of channels of the result of `read_picture`, from the header.

    Raises:
        ImageReadError: like `read_picture`, as far as the header tells.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.pixels(channels)


def check_picture(
    path: Path | str, max_pixels: int = LIMIT, channels: Channels = "unchanged", pages: Pages = None
) -> None:
    """Raise the errors of `read_picture`, as far as the header and the end of a file tell.

    Raises:
        ImageReadError: if the file is faulty; names it.
    """
    with opened(path, max_pixels, pages) as picture:
        picture.check(channels)


def opened(path: Path | str, max_pixels: int = LIMIT, pages: Pages = None) -> TiffPicture | PillowPicture:
    """Open an image file.

    Raises:
        ImageReadError: if the file is missing, empty, not an image, too large, or has more pages than requested; names
            it.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(4)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageReadError(f"{path} does not exist") from error
    if not start:
        raise ImageReadError(f"{path} is empty (0 bytes)")
    return (TiffPicture if start in TIFF_MARKS else PillowPicture)(path, pages, max_pixels)
