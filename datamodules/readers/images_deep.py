"""Images whose samples Pillow would convert to 8 bits or rescale: PNG, JPEG 2000, PGM and PPM, AVIF."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from datamodules.readers.base import ImageReadError
from files.png import read_png

BAND_MODES = ("L", "LA", "RGB", "RGBA")  # 8 bits per sample
PNG_SAMPLES = {2: [0, 1, 2], 4: [0, 3], 6: [0, 1, 2, 3]}  # by colour type, of the four channels that OpenCV returns
SIZ = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream, whose first segment describes its components


class Deep(NamedTuple):
    """How to read an image without Pillow.

    Attributes:
        type: name of its type, as in `Pixels`.
        bits: bits per sample.
        samples: samples per pixel.
        alpha: whether the last sample is opacity.
        read: function that returns `(H, W, samples)` as stored in the file.
    """

    type: str
    bits: int
    samples: int
    alpha: bool
    read: Callable[[], np.ndarray]


def deep_samples(picture: Image.Image, path: Path | str) -> Deep | None:
    """Return how to read an open image whose values Pillow would change; None if it would not.

    Raises:
        ImageReadError: if no decoder here reads it exactly.
    """
    if picture.format == "PNG" and picture.mode in BAND_MODES and ";16" in str(picture.tile[0].args):
        return _png(path)
    if picture.format == "PPM" and picture.mode in ("L", "I", "RGB"):
        return _portable(picture, path)
    if picture.format == "JPEG2000":
        return _jpeg2000(picture, path)
    if picture.format == "AVIF":
        _check_avif(path)
    return None


def _png(path: Path | str) -> Deep:
    with open(path, "rb") as handle:
        kind = handle.read(26)[25]
    chosen = PNG_SAMPLES[kind]

    def read() -> np.ndarray:
        image = read_png(path)
        return image if image.shape[2] == len(chosen) else np.ascontiguousarray(image[..., chosen])

    return Deep("uint16", 16, len(chosen), kind in (4, 6), read)


def _portable(picture: Image.Image, path: Path | str) -> Deep | None:
    tile, samples = picture.tile[0], 3 if picture.mode == "RGB" else 1
    if tile.codec_name == "raw" and picture.mode != "I":
        return None
    most = 65535 if tile.codec_name == "raw" else int(tile.args[1])  # Pillow would rescale it to 255 or 65535
    if most == 255:
        return None
    shape, kind = (picture.height, picture.width, samples), np.dtype("u1" if most < 256 else ">u2")

    def read() -> np.ndarray:
        if tile.codec_name == "ppm_plain":
            with open(path, "rb") as handle:
                handle.seek(tile.offset)
                words = re.sub(rb"#[^\r\n]*", b"", handle.read()).split()
            values = np.array(words[: np.prod(shape)], np.int64)
        else:
            values = np.fromfile(path, kind, int(np.prod(shape)), offset=tile.offset)
        if values.size < np.prod(shape) or values.min() < 0 or values.max() > most:
            raise ValueError(f"it has {values.size} values, expected {np.prod(shape)} of 0 to {most}")
        return values.astype(np.uint8 if most < 256 else np.uint16).reshape(shape)

    name = "uint8" if most < 256 else "uint16"
    return Deep(name if most == 65535 else f"{name} up to {most}", 8 * kind.itemsize, samples, False, read)


def _jpeg2000(picture: Image.Image, path: Path | str) -> Deep | None:
    components, alpha = _components(path)
    if len(set(components)) != 1:
        raise ImageReadError(f"{path} has components of several bit depths, which is not supported; convert it to TIFF")
    bits, signed = components[0]
    if bits == 8 and not signed and (picture.mode == "P" or len(components) not in (2, 4) or alpha):
        return None
    name = f"{bits}-bit" if bits < 8 else f"{'' if signed else 'u'}int{8 if bits == 8 else 16 if bits <= 16 else 32}"

    def read() -> np.ndarray:
        from imagecodecs import jpeg2k_decode

        image = jpeg2k_decode(Path(path).read_bytes())
        return image if image.ndim == 3 else image[..., None]

    return Deep(name, bits, len(components), alpha, read)


def _components(path: Path | str) -> tuple[list[tuple[int, bool]], bool]:
    """Return bits and signedness of each component of a JPEG 2000 file, and whether one is opacity."""
    header, alpha = b"", False
    with open(path, "rb") as handle:
        place, size = 0, os.path.getsize(path)
        if handle.read(4) == SIZ:
            header = handle.seek(0) or handle.read(65536)
        while not header and place + 8 <= size:  # boxes of a JP2 file: length, type, content
            handle.seek(place)
            length, kind = int.from_bytes(handle.read(4), "big"), handle.read(4)
            length = int.from_bytes(handle.read(8), "big") if length == 1 else length or size - place
            if kind == b"jp2c":
                header = handle.read(65536)
            elif kind == b"jp2h":
                content = handle.read(min(length, 65536))
                channels = content.partition(b"cdef")[2]
                entries = [channels[2 + 6 * n : 8 + 6 * n] for n in range(int.from_bytes(channels[:2], "big"))]
                alpha = any(entry[2:4] in (b"\0\1", b"\0\2") for entry in entries)
            place += max(8, length)
    if not header.startswith(SIZ):
        raise ValueError("it has no JPEG 2000 codestream")
    count = int.from_bytes(header[40:42], "big")
    depths = header[42 : 42 + 3 * count : 3]
    return [((depth & 127) + 1, depth > 127) for depth in depths], alpha


def _check_avif(path: Path | str) -> None:
    """Raise an error for AVIF of 10 or 12 bits, which Pillow reduces to 8."""
    with open(path, "rb") as handle:
        settings = handle.read(65536).partition(b"av1C")[2]  # configuration of its first image
    if len(settings) > 2 and settings[2] & 0x40:
        raise ImageReadError(f"{path} is AVIF with more than 8 bits per sample, not supported; convert it to PNG")
