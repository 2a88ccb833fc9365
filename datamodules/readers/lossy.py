"""Detection of image files whose compression changed pixel values."""

import struct
from pathlib import Path

import tifffile

HEAD = 65536  # bytes that contain the headers
REVERSIBLE = 1  # the lossless wavelet of JPEG 2000
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
UNTOLD = ("JPEGXR", "JPEGXR_NDPI", "JPEGXL", "JPEGXL_DNG", "JPEG_LOSSY")  # lossy, or unknown from the header


def lossy(path: Path | str) -> str | None:
    """Return the name of the compression that may have changed an image file's values; None if it is lossless.

    Detects lossy JPEG, WebP and JPEG 2000 (also in TIFF), and any AVIF, whose header does not tell. Class numbers and
    ids cannot be read from such files. Reads only headers.
    """
    with open(path, "rb") as handle:
        start = handle.read(16)
        if start[:4] not in TIFF:
            return _compression(start + handle.read(HEAD)) if _compression(start, sure=False) else None
        handle.seek(0)
        try:
            with tifffile.TiffFile(handle) as file:
                page = file.pages.first
                name = str(getattr(page.compression, "name", page.compression))
                if name in UNTOLD:
                    return name
                handle.seek(page.dataoffsets[0] if page.dataoffsets else 0)
                return _compression(handle.read(min(page.databytecounts[0], HEAD)) if page.databytecounts else b"")
        except (tifffile.TiffFileError, IndexError, struct.error):
            return None  # reading the file will raise the error


def _compression(content: bytes, sure: bool = True) -> str | None:
    """Return the lossy format by the first bytes; with `sure` only if confirmed by the content."""
    if content[:3] == b"\xff\xd8\xff":
        return "JPEG" if not sure or _jpeg_is_lossy(content) else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP" if not sure or _webp_is_lossy(content) else None
    if content[4:8] == b"jP  " or content[:4] == b"\xff\x4f\xff\x51":
        return "JPEG 2000" if not sure or _wavelet_is_lossy(content) else None
    return "AVIF" if content[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1") else None


def _jpeg_is_lossy(content: bytes) -> bool:
    """Return whether a JPEG file is of any kind but lossless (SOF3), which medical TIFFs use."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        kind = content[place + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return kind != 0xC3
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
    return True


def _webp_is_lossy(content: bytes) -> bool:
    """Return whether the first image of a WebP file, which may follow other chunks, is lossy."""
    place = 12
    while place + 8 <= len(content):
        kind, length = content[place : place + 4], struct.unpack("<I", content[place + 4 : place + 8])[0]
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        place += 24 if kind == b"ANMF" else 8 + length + length % 2  # a frame of an animation contains chunks
    return True


def _wavelet_is_lossy(content: bytes) -> bool:
    """Return whether the default coding style of a JPEG 2000 file has the lossy wavelet."""
    place = content.find(b"\xff\x52", max(0, content.find(b"\xff\x4f\xff\x51")))
    # Marker (2), length (2), style, order, layers (2), colour, levels, width, height and style of blocks, wavelet.
    return place < 0 or place + 13 >= len(content) or content[place + 13] != REVERSIBLE
