"""TIFF images through tifffile: every sample of every page, in the file's type."""

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffPage

from datamodules.readers.base import ImageReadError, Pixels
from datamodules.readers.images_channels import Channels, Pages, as_channels, count_channels, page_numbers, white
from preprocessing.orientation import upright

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # first bytes of TIFF and BigTIFF
ORIENTATION = 274
PREVIEW = 0b101  # NewSubfileType: a reduced version of another page, or its transparency mask
MEANING = {256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347, 530}
VALUES = 4  # maximum number of values per pixel of `max_pixels`
GRAY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MASK)
COLOURED = (*GRAY, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR, PHOTOMETRIC.LINEAR_RAW)
AS_STORED = (COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY, COMPRESSION.NONE)  # libjpeg converts YCbCr to RGB itself

# tifffile logs every unusual tag; those that matter raise errors here.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPicture:
    """An open TIFF file.

    Values are those of the file, with three exceptions, as in Pillow: a palette is resolved for `rgb` and `gray`, YCbCr
    becomes RGB, and 2 to 8 bits where 0 is white are inverted. 1 bit is bool as stored with `unchanged`; otherwise 0
    and 255 as displayed: tifffile writes True as black.

    Args:
        path: path of the file.
        pages: pages to read; reduced versions and masks are not counted.
        max_pixels: maximum number of pixels of a page; the maximum number of values is four times that.

    Raises:
        ImageReadError: if no page can be read, or there are more than requested; names the file.
    """

    def __init__(self, path: Path | str, pages: Pages, max_pixels: int) -> None:
        self.path, self.stack = path, pages == "stack"
        with explained(path):
            self.file = TiffFile(path, is_ome=False)  # OME's XML may refer to other files; all pages are here anyway
        try:
            with explained(path):
                self.pages = self._full_pages()
                self.count = len(self.pages) if len(self.pages) > 1 else self._behind(self.pages[0])
            self.numbers = page_numbers(path, self.count, pages)
            self._check_size(max_pixels)
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> "TiffPicture":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    @property
    def size(self) -> tuple[int, ...]:
        """Return `(H, W)` of the requested pages, or `(D, H, W)` of a stack."""
        page = self._page(self.numbers[0])
        size = (page.imagelength, page.imagewidth)
        size = size[::-1] if _turn(page) >= 5 else size
        return (len(self.numbers), *size) if self.stack else size

    def pixels(self, channels: Channels) -> Pixels:
        """Return type and number of channels of `read`, from the header.

        Raises:
            ImageReadError: the errors of `read`, as far as the header tells.
        """
        kinds = {self._kind(self._page(number), channels) for number in self.numbers}
        if len(kinds) > 1 or len({(p.imagelength, p.imagewidth, _turn(p) >= 5) for p in self._wanted()}) > 1:
            raise ImageReadError(f"{self.path}: its {self.count} pages have several sizes or types; set reader.pages")
        kind, colours = kinds.pop()
        colours = colours if self.stack else colours * len(self.numbers)
        return Pixels(kind, count_channels(self.path, colours, channels))

    def check(self, channels: Channels) -> None:
        """Raise the errors of `read`, as far as header and file size tell."""
        self.pixels(channels)
        with explained(self.path):
            self._check_whole()

    def read(self, channels: Channels) -> np.ndarray:
        """Return `(H, W, C)`, or `(D, H, W, C)` of a stack."""
        self.check(channels)
        parts = [self._samples(number, channels) for number in self.numbers]
        if self.stack:
            return as_channels(self.path, np.stack(parts), channels)
        return as_channels(self.path, np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0], channels)

    # --- pages -------------------------------------------------------------------------------------------------------

    def _full_pages(self) -> list[TiffPage]:
        pages = list(self.file.pages)
        full = [page for page in pages if not int(page.subfiletype) & PREVIEW]
        if not full and any(page.subifds for page in pages):
            raise ImageReadError(f"{self.path} has a preview and raw data; convert it to TIFF or PNG first")
        if not (full or pages):
            raise ValueError("it has no page")
        return full or pages

    def _behind(self, page: TiffPage) -> int:
        """Return the number of images of a file of one page: ImageJ, tifffile and MetaMorph store stacks that way."""
        if not (self.file.is_imagej or self.file.is_shaped or self.file.is_stk) or 0 in page.shape:
            return 1
        found = max(1, self.file.series[0].size // page.size)
        count = int((self.file.imagej_metadata or {}).get("images", 1))
        if count > found * page.samplesperpixel:
            raise ImageReadError(f"{self.path} is damaged: it has {found} of {count} images; copy or download it again")
        return found

    def _page(self, number: int) -> TiffPage:
        return self.pages[number if len(self.pages) > 1 else 0]

    def _wanted(self) -> Iterator[TiffPage]:
        return (self._page(number) for number in self.numbers)

    def _check_size(self, max_pixels: int) -> None:
        for page in self._wanted():
            pixels, samples = page.imagewidth * page.imagelength, page.samplesperpixel * len(self.numbers)
            if pixels > max_pixels or max(pixels, page.tilewidth * page.tilelength) * samples > VALUES * max_pixels:
                what = f"{page.imagewidth} x {page.imagelength} pixels"
                what += "" if pixels > max_pixels else f" of {samples} values"
                raise ImageReadError(
                    f"{self.path} is {what}, more than reader.max_pixels {max_pixels}; raise it if this is correct"
                )

    def _kind(self, page: TiffPage, channels: Channels) -> tuple[str, int]:
        """Return the type of a page's values and the number of its samples, without alpha for `rgb` and `gray`.

        Raises:
            ImageReadError: if the type is not supported.
        """
        if page.dtype is None or not isinstance(page.bitspersample, int):
            raise ImageReadError(f"{self.path} has samples of {page.bitspersample} bits, which are not supported")
        if page.dtype.kind not in "biuf" or page.imagedepth != 1 or 0 in page.shape:
            what = {"c": "complex numbers"}.get(page.dtype.kind, f"an image of {page.shape}")
            raise ImageReadError(f"{self.path} contains {what}, expected an image of real numbers")
        if page.photometric == PHOTOMETRIC.PALETTE:
            stored = "uint8" if page.dtype == bool else page.dtype.name
            return (stored, page.samplesperpixel) if channels == "unchanged" else ("uint8", 3)
        few = page.bitspersample < 8
        if channels == "unchanged":
            return f"{page.bitspersample}-bit" if few else page.dtype.name, page.samplesperpixel
        if page.photometric == PHOTOMETRIC.SEPARATED and page.samplesperpixel == 4 and page.bitspersample == 8:
            return "uint8", 3
        bare = page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.NONE  # Pillow calls it RGB
        if page.photometric not in COLOURED or bare:
            name = getattr(page.photometric, "name", page.photometric)
            raise ImageReadError(
                f"{self.path} is {name}, which `channels: {channels}` cannot convert; set reader.channels: unchanged"
            )
        return "uint8" if few else page.dtype.name, page.samplesperpixel - _has_alpha(page)

    def _check_whole(self) -> None:
        """Raise an error if the file ends before its pages, or tiles are missing or too short."""
        handle, last = self.file.filehandle, self.file.pages.next_page_offset
        handle.seek(last)
        more = handle.read(self.file.tiff.offsetsize)
        if len(more) < self.file.tiff.offsetsize or struct.unpack(self.file.tiff.offsetformat, more)[0]:
            raise ValueError("the next page is missing")
        size = os.path.getsize(self.path)
        for page in {id(page): page for page in self._wanted()}.values():
            lost = sorted((self._codes(page) & MEANING) - {tag.code for tag in page.tags})
            if lost:  # tifffile ignores a tag located after the end of the file
                raise ValueError(f"the value of tag {lost[0]} is missing")
            wanted = int(np.prod(page.chunked))
            pieces = zip(page.dataoffsets, page.databytecounts, strict=False)
            there = sum(length > 0 and offset + length <= size for offset, length in pieces)
            if there < wanted:
                raise ValueError(f"{wanted - there} of {wanted} strips or tiles are missing")
            needed = page.size * page.bitspersample // 8 * (1 if len(self.pages) > 1 else self.count)
            if page.compression == COMPRESSION.NONE and page.dataoffsets[0] + needed > size:
                raise ValueError(f"{needed} bytes of pixels are needed, the file has {size}")

    def _codes(self, page: TiffPage) -> set[int]:
        """Return all tags listed in a page, whether or not their values can be read."""
        tiff, handle = self.file.tiff, self.file.filehandle
        handle.seek(page.offset)
        count = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))[0]
        entries = handle.read(count * tiff.tagsize)
        return {code for (code,) in struct.iter_unpack(f"{tiff.byteorder}H{tiff.tagsize - 2}x", entries)}

    # --- pixels ------------------------------------------------------------------------------------------------------

    def _samples(self, number: int, channels: Channels) -> np.ndarray:
        """Return `(H, W, S)` of a page, upright; for `rgb` and `gray` its colours, with white at 255 below 8 bits."""
        page = self._page(number)
        array = None
        if _decodes(page) and (page.photometric != PHOTOMETRIC.YCBCR or page.compression in AS_STORED):
            array = self._by_tifffile(page, number)
        seen = array is None  # Pillow returns displayed values, tifffile stored ones
        array = self._by_pillow(page) if seen else array
        reversible = page.photometric == PHOTOMETRIC.MINISWHITE and page.dtype.kind in "bu" and page.bitspersample <= 8
        if reversible and seen != (page.bitspersample > 1 or channels != "unchanged"):
            array = ~array if page.dtype.kind == "b" else np.subtract(2**page.bitspersample - 1, array, dtype=np.uint8)
        if array.dtype != page.dtype:
            raise ImageReadError(f"{self.path} is decoded to {array.dtype}, but its header says {page.dtype}")
        if page.photometric == PHOTOMETRIC.PALETTE and array.dtype == bool:
            array = array.view(np.uint8)  # indices of two colours
        if channels == "unchanged":
            return array
        if page.photometric == PHOTOMETRIC.SEPARATED:
            return np.asarray(Image.fromarray(np.ascontiguousarray(array), "CMYK").convert("RGB"))
        if page.photometric == PHOTOMETRIC.PALETTE:
            with explained(self.path):
                return (page.colormap >> 8).astype(np.uint8).T[array[..., 0]]
        array = array[..., : array.shape[2] - _has_alpha(page)]
        return white(array, page.bitspersample) if page.bitspersample < 8 else array

    def _by_tifffile(self, page: TiffPage, number: int) -> np.ndarray | None:
        """Return the result of tifffile, upright; None if its decoder is not installed."""
        with explained(self.path):
            try:
                if self.count > len(self.pages):
                    array = np.array(self._stacked[number])
                else:
                    array = page.asarray(squeeze=False, maxworkers=1)  # a loader process has one CPU
            except (ImportError, NotImplementedError):
                return None
            array = array.reshape(page.shaped)[:, 0].transpose(1, 2, 0, 3)
            array = array.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
            return upright(array.astype(array.dtype.newbyteorder("="), copy=False), _turn(page))

    @cached_property
    def _stacked(self) -> np.ndarray:
        """Return the images behind one header `(n, *page.shape)`, memory-mapped."""
        return self.file.series[0].asarray(out="memmap").reshape(self.count, *self.pages[0].shape)

    def _by_pillow(self, page: TiffPage) -> np.ndarray:
        """Return the result of Pillow, which decodes 8 bits or 1 without tifffile: upright, white is high."""
        if page.bitspersample not in (1, 8) or page.dtype.kind not in "bu":
            name = getattr(page.compression, "name", page.compression)
            raise ImageReadError(f"{self.path} is compressed by {name}, which is not supported with {page.dtype}")
        # From a handle: given a path, Pillow maps uncompressed pixels and ignores the orientation.
        with explained(self.path), open(self.path, "rb") as handle, Image.open(handle) as image:
            image.seek(page.index)
            image.load()
            array = np.asarray(image)
        return array if array.ndim == 3 else array[..., None]


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Convert any error of a decoder to an ImageReadError that names the file."""
    try:
        yield
    except (ImageReadError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(f"{path} is damaged: {text}; copy or download it again") from error


def _turn(page: TiffPage) -> int:
    turn = page.tags.valueof(ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _has_alpha(page: TiffPage) -> bool:
    """Return whether the last sample is opacity; an extra sample of unknown meaning is data."""
    return len(page.extrasamples) == 1 and int(page.extrasamples[0]) in (1, 2)


def _decodes(page: TiffPage) -> bool:
    """Return whether tifffile has a decoder; most are in imagecodecs."""
    try:
        return page.compression == COMPRESSION.NONE or TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        return False
