"""Plain pictures: PNG, JPEG, TIFF, GIF and others, with the values of the file."""

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
    """Reads a picture in the file's own type, in the direction its EXIF tag says.

    Formats: PNG, JPEG, TIFF, JPEG 2000, GIF, WebP, BMP, PGM and PPM, and some rarer ones of 8 bits. A file that could
    only be read with other values than it holds is refused.

    Args:
        channels: `rgb` gives 3 channels (gray is repeated, a palette resolved, alpha dropped), `gray` gives 1; a file
            with more than these, such as near infrared beside red, green and blue, is then refused. `unchanged` gives
            what the file has: a palette as its numbers, 1 bit as False and True.
        max_pixels: largest picture in pixels; a small file can otherwise decode to many gigabytes.
        pages: of a TIFF with several pages, or an animation: the number of the one to read, from 0, or `channels` to
            read them all as channels. Unless given such a file is refused. Pages that are the slices of a volume are
            read by `VolumeReader`.
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
    """`(H, W, C)` of a picture file in its own type; `(D, H, W, C)` with `pages` "stack".

    Raises:
        ImageReadError: missing, empty, truncated or no picture, more pages than asked for, or values that cannot be
            read as they are; names the file. Never gray pixels in their place.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.read(channels)


def picture_size(path: Path | str, max_pixels: int = LIMIT, pages: Pages = None) -> tuple[int, ...]:
    """`(H, W)` of a picture as `read_picture` returns it, from its header; `(D, H, W)` of a stack.

    Raises:
        ImageReadError: missing, empty, no picture or too large; names the file. One whose end is missing has a size.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.size


def picture_pixels(
    path: Path | str, channels: Channels = "rgb", max_pixels: int = LIMIT, pages: Pages = None
) -> Pixels:
    """Type and number of channels of what `read_picture` returns, from the header.

    Raises:
        ImageReadError: as `read_picture`, as far as the header tells.
    """
    with opened(path, max_pixels, pages) as picture:
        return picture.pixels(channels)


def check_picture(
    path: Path | str, max_pixels: int = LIMIT, channels: Channels = "unchanged", pages: Pages = None
) -> None:
    """Raise what `read_picture` would raise of a file, as far as its header and its end tell.

    Raises:
        ImageReadError: names the file.
    """
    with opened(path, max_pixels, pages) as picture:
        picture.check(channels)


def opened(path: Path | str, max_pixels: int = LIMIT, pages: Pages = None) -> TiffPicture | PillowPicture:
    """An open picture file.

    Raises:
        ImageReadError: missing, empty, no picture, too large, or more pages than asked for; names the file.
    """
    try:
        with open(path, "rb") as handle:
            start = handle.read(4)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageReadError(f"{path} is not there") from error
    if not start:
        raise ImageReadError(f"{path} is empty (0 bytes)")
    return (TiffPicture if start in TIFF_MARKS else PillowPicture)(path, pages, max_pixels)
