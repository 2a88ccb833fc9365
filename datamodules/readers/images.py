"""Plain pictures: PNG, JPEG, TIFF, GIF."""

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from datamodules.readers.base import ImageReadError, Reader
from datamodules.readers.file_ends import has_end, png_chunks
from preprocessing.orientation import upright
from preprocessing.pictures import read_png

EXIF_ORIENTATION = 0x0112
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


class ImageReader(Reader):
    """Reads a picture with 8 or 16 bits a channel, in the direction its EXIF tag says.

    Args:
        channels: `rgb` gives 3 channels (gray is repeated, a palette resolved, alpha dropped), `gray` gives 1,
            `unchanged` gives what the file has (a palette as its numbers).
        pixel_limit: largest picture in pixels; a small file can otherwise decode to many gigabytes.
    """

    def __init__(self, channels: Literal["rgb", "gray", "unchanged"] = "rgb", pixel_limit: int = 300_000_000) -> None:
        self.channels, self.pixel_limit = channels, pixel_limit

    def read(self, row: Any) -> np.ndarray:
        return read_picture(row.path, self.channels, self.pixel_limit)

    def size(self, row: Any) -> tuple[int, int]:
        return picture_size(row.path, self.pixel_limit)

    def check(self, row: Any) -> None:
        check_picture(row.path, self.pixel_limit)


def picture_size(path: Path | str, pixel_limit: int = 300_000_000) -> tuple[int, int]:
    """`(H, W)` of a picture as `read_picture` returns it, from its header.

    Raises:
        ImageReadError: missing, empty, no picture or too large; names the file. One whose end is missing has a size.
    """
    with _open(path, pixel_limit) as picture:
        width, height = picture.size
        turned = _orientation(picture, path) >= 5
    return (width, height) if turned else (height, width)


def check_picture(path: Path | str, pixel_limit: int = 300_000_000) -> None:
    """Raise what `read_picture` would raise of a file, as far as its header and its end tell.

    Raises:
        ImageReadError: missing, empty, truncated, too large or no picture; names the file.
    """
    with _open(path, pixel_limit) as picture:
        whole = has_end(picture, path)
    if not whole:  # some readers get along without the end mark, so this one is decoded to be sure
        read_picture(path, "unchanged", pixel_limit)


def _orientation(picture: Image.Image, path: Path | str) -> int:
    """The EXIF orientation, 1 where there is none, without decoding pixels."""
    if picture.format != "PNG" or "exif" in picture.info:
        return picture.getexif().get(EXIF_ORIENTATION, 1)
    chunks = png_chunks(path)
    behind = set(chunks[chunks.index(b"IDAT") :]) if b"IDAT" in chunks else set()
    if chunks[-1:] == [b"IEND"] and behind & {b"eXIf", b"zTXt", b"tEXt", b"iTXt"}:
        try:
            return picture.getexif().get(EXIF_ORIENTATION, 1)  # Pillow decodes the pixels to get behind them
        except OSError as error:
            raise ImageReadError(f"{path} is damaged: {error}") from error
    return Image.Image.getexif(picture).get(EXIF_ORIENTATION, 1)


def read_picture(
    path: Path | str, channels: Literal["rgb", "gray", "unchanged"] = "rgb", pixel_limit: int = 300_000_000
) -> np.ndarray:
    """`(H, W, C)` uint8 or uint16 of a picture file.

    Raises:
        ImageReadError: missing, empty, truncated or no picture; names the file. Never gray pixels in their place.
    """
    # Another library may have switched this on, which turns missing data into gray pixels.
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with _open(path, pixel_limit) as picture:
            deep = picture.format == "PNG" and _is_deep_colour(picture)
            picture.load()
            orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
            if deep:  # Pillow would throw the lower 8 bits away without a word
                array = _as_channels(read_png(path), channels)
                array = upright(array, orientation) if 1 < orientation <= 8 else array
            else:
                array = _pixels(ImageOps.exif_transpose(picture) if orientation > 1 else picture, channels)
    except ImageReadError:
        raise
    except Exception as error:
        raise ImageReadError(f"{path} is damaged: {error}; copy or download it again") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    return array if array.ndim == 3 else array[..., None]


def _is_deep_colour(picture: Image.Image) -> bool:
    return picture.mode not in (*SIXTEEN_BIT, "I") and any(";16" in str(tile[3]) for tile in picture.tile)


def _as_channels(array: np.ndarray, channels: str) -> np.ndarray:
    """`(H, W, 1, 3 or 4)` as `rgb`, `gray` or `unchanged`."""
    if channels == "unchanged":
        return array
    array = array[..., :3]
    if channels == "gray":
        return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY) if array.shape[2] == 3 else array
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _pixels(picture: Image.Image, channels: str) -> np.ndarray:
    if picture.mode in SIXTEEN_BIT or picture.mode == "I":
        array = np.asarray(picture).astype(np.uint16)
        return np.repeat(array[..., None], 3, axis=2) if channels == "rgb" else array
    if picture.mode == "F":
        array = np.asarray(picture)
        return np.repeat(array[..., None], 3, axis=2) if channels == "rgb" else array
    if channels == "unchanged":
        return np.asarray(picture if picture.mode != "1" else picture.convert("L"))
    return np.asarray(picture.convert("RGB" if channels == "rgb" else "L"))


def _open(path: Path | str, pixel_limit: int) -> Image.Image:
    path = Path(path)
    if not path.is_file():
        raise ImageReadError(f"{path} is not there")
    if path.stat().st_size == 0:
        raise ImageReadError(f"{path} is empty (0 bytes)")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        picture = Image.open(path)
    except Exception as error:
        with open(path, "rb") as handle:
            start = handle.read(16)
        raise ImageReadError(f"{path} is no picture that can be read (it begins with {start!r})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if picture.width * picture.height > pixel_limit:
        size = f"{picture.width} x {picture.height}"
        picture.close()
        raise ImageReadError(
            f"{path} is {size} pixels, more than reader.pixel_limit {pixel_limit}; raise it if it is real"
        )
    return picture
