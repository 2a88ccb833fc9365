"""Images through Pillow, or other decoders if it would change their bit depth."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps

from datamodules.readers.base import ImageReadError, Pixels
from datamodules.readers.file_ends import has_end, png_chunks
from datamodules.readers.images_channels import Channels, Pages, as_channels, count_channels, page_numbers, white
from datamodules.readers.images_deep import Deep, deep_samples
from preprocessing.orientation import upright

EXIF_ORIENTATION = 0x0112
EXACT = ("BMP", "DIB", "GIF", "JPEG", "MPO", "JPEG2000", "PNG", "PPM", "WEBP", "AVIF", "PCX", "QOI", "TGA", "ICO")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
FEW_BITS = {"L;2": 2, "L;4": 4}  # Pillow's names of gray that it scales to 8 bits
ALPHA = ("LA", "PA", "La", "RGBA", "RGBa")
ONE = ("MPO",)  # a camera's second image is a preview or another view, never the next page


class PillowPicture:
    """An open image file of a format that Pillow supports.

    Args:
        path: path of the file.
        pages: frames to read.
        max_pixels: maximum number of pixels.

    Raises:
        ImageReadError: if the file is not an image, Pillow changes its values, or it has more frames than requested.
    """

    def __init__(self, path: Path | str, pages: Pages, max_pixels: int) -> None:
        self.path, self.stack = path, pages == "stack"
        self.picture = _open(path, max_pixels)
        try:
            with _damage(path):
                animated = getattr(self.picture, "is_animated", False) and self.picture.format not in ONE
                self.numbers = page_numbers(path, self.picture.n_frames if animated else 1, pages)
                self.deep: Deep | None = deep_samples(self.picture, path)
                if self.deep is not None and animated:
                    raise ImageReadError(f"{path} is an animation of {self.deep.type}, which is not supported")
        except BaseException:
            self.picture.close()
            raise

    def __enter__(self) -> "PillowPicture":
        return self

    def __exit__(self, *_: Any) -> None:
        self.picture.close()

    @property
    def size(self) -> tuple[int, ...]:
        """Return `(H, W)` of the result of `read`, or `(D, H, W)` of a stack."""
        size = self.picture.size if self._turn() >= 5 else self.picture.size[::-1]
        return (len(self.numbers), *size) if self.stack else size

    def _turn(self) -> int:
        """Return the EXIF orientation, 1 if missing, without decoding pixels."""
        picture = self.picture
        if picture.format != "PNG" or "exif" in picture.info:
            return picture.getexif().get(EXIF_ORIENTATION, 1)
        chunks = png_chunks(self.path)
        behind = set(chunks[chunks.index(b"IDAT") :]) if b"IDAT" in chunks else set()
        if chunks[-1:] == [b"IEND"] and behind & {b"eXIf", b"zTXt", b"tEXt", b"iTXt"}:
            try:
                return picture.getexif().get(EXIF_ORIENTATION, 1)  # Pillow decodes the pixels to read what follows
            except OSError as error:
                raise ImageReadError(f"{self.path} is damaged: {error}") from error
        return Image.Image.getexif(picture).get(EXIF_ORIENTATION, 1)

    def pixels(self, channels: Channels) -> Pixels:
        """Return type and number of channels of `read`, from the header.

        Raises:
            ImageReadError: if some samples would be lost.
        """
        kind, samples, alpha = self._kind(self._way(channels))
        colours = samples if channels == "unchanged" else samples - alpha
        colours = colours if self.stack else colours * len(self.numbers)
        return Pixels(kind, count_channels(self.path, colours, channels))

    def _way(self, channels: Channels) -> Channels:
        """Return how each frame is read: unchanged if several become channels."""
        if len(self.numbers) == 1 or self.stack or channels == "unchanged":
            return channels
        if self.picture.mode != "L":
            raise ImageReadError(
                f"{self.path}: its {len(self.numbers)} frames are {self.picture.mode}; to read them as channels set "
                "reader.channels: unchanged, or select one with reader.pages"
            )
        return "unchanged"

    def _kind(self, channels: Channels) -> tuple[str, int, bool]:
        """Return type, number of samples, and whether the last is opacity."""
        if self.deep is not None:
            few = self.deep.bits < 8 and channels != "unchanged"
            return "uint8" if few else self.deep.type, self.deep.samples, self.deep.alpha
        mode = self.picture.mode
        if mode in SIXTEEN_BIT:
            return "uint16", 1, False
        if channels != "unchanged" and mode in ("P", "PA", "CMYK"):
            return "uint8", 3, False
        few = FEW_BITS.get(self._raw_mode(), 1 if mode == "1" else 0)
        kind = f"{few}-bit" if few and channels == "unchanged" else {"I": "int32", "F": "float32"}.get(mode, "uint8")
        return kind, len(self.picture.getbands()), mode in ALPHA

    def _raw_mode(self) -> str:
        return str(self.picture.tile[0].args) if self.picture.format == "PNG" and self.picture.tile else ""

    def check(self, channels: Channels) -> None:
        """Raise the errors of `read`, as far as header and end of the file tell."""
        self.pixels(channels)
        if not has_end(self.picture, self.path):  # some decoders do not need the end, so decode to be sure
            self.read(channels)

    def read(self, channels: Channels) -> np.ndarray:
        """Return `(H, W, C)`, or `(D, H, W, C)` of a stack."""
        self.pixels(channels)
        with _damage(self.path), _strict():
            frames = [self._samples(number, self._way(channels)) for number in self.numbers]
        if len({(frame.shape, frame.dtype) for frame in frames}) > 1:
            raise ImageReadError(f"{self.path}: its frames have several sizes or types; select one with reader.pages")
        if self.stack:
            return as_channels(self.path, np.stack(frames), channels)
        return as_channels(self.path, np.concatenate(frames, axis=2) if len(frames) > 1 else frames[0], channels)

    def _samples(self, number: int, channels: Channels) -> np.ndarray:
        """Return `(H, W, S)` of a frame, upright; for `rgb` and `gray` its colours."""
        picture, few = self.picture, FEW_BITS.get(self._raw_mode(), 0)
        if getattr(picture, "is_animated", False):
            picture.seek(number)
        if self.deep is None or picture.format == "PNG":  # Pillow checks its checksums
            picture.load()
        turn = picture.getexif().get(EXIF_ORIENTATION, 1)
        if self.deep is not None:
            array = self.deep.read()
            array = upright(array, turn) if 1 < turn <= 8 else array
            if channels == "unchanged":
                return array
            array = array[..., : array.shape[2] - self.deep.alpha]
            return white(array, self.deep.bits) if self.deep.bits < 8 else array
        return _plain(ImageOps.exif_transpose(picture) if turn > 1 else picture, channels, few)


def _plain(picture: Image.Image, channels: Channels, few: int) -> np.ndarray:
    """Return samples `(H, W, S)` of an image whose values Pillow keeps."""
    if picture.mode in (*SIXTEEN_BIT, "I", "F") or (channels == "unchanged" and not few):
        array = np.asarray(picture)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    elif channels == "unchanged":
        array = np.asarray(picture) // (255 // (2**few - 1))
    else:
        array = np.asarray(picture.convert("RGB" if channels == "rgb" else "L"))
    return array if array.ndim == 3 else array[..., None]


def _open(path: Path | str, max_pixels: int) -> Image.Image:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        picture = Image.open(path)
    except Exception as error:
        with open(path, "rb") as handle:
            start = handle.read(16)
        raise ImageReadError(f"{path} is not a readable image (it begins with {start!r})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    refusal = None
    if picture.format not in EXACT:
        refusal = f"is {picture.format}, which cannot be read with unchanged values; convert it to PNG or TIFF"
    elif picture.width * picture.height > max_pixels:
        size = f"{picture.width} x {picture.height}"
        refusal = f"is {size} pixels, more than reader.max_pixels {max_pixels}; raise it if this is correct"
    if refusal:
        picture.close()
        raise ImageReadError(f"{path} {refusal}")
    return picture


@contextmanager
def _damage(path: Path | str) -> Iterator[None]:
    try:
        yield
    except ImageReadError:
        raise
    except Exception as error:
        raise ImageReadError(f"{path} is damaged: {error}; copy or download it again") from error


@contextmanager
def _strict() -> Iterator[None]:
    """Make missing data an error, even if another library told Pillow to replace it by gray pixels."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
