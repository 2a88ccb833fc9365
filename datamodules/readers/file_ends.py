"""Checks that image files are complete, by their markers, without decoding pixels."""

import os
from pathlib import Path

from PIL import Image

JPEG_END = b"\xff\xd9"
TAIL = 1 << 16  # maximum number of bytes that a camera may add after the end marker


def png_chunks(path: Path | str) -> list[bytes]:
    """Return the types of the complete chunks of a PNG file, in order: `[b"IHDR", …, b"IEND"]`."""
    found, size = [], os.path.getsize(path)
    with open(path, "rb") as handle:
        place = 8
        while place + 12 <= size:
            handle.seek(place)
            head = handle.read(8)
            place += 12 + int.from_bytes(head[:4], "big")
            if place > size:
                break
            found.append(head[4:])
            if head[4:] == b"IEND":
                break
    return found


def has_end(image: Image.Image, path: Path | str) -> bool | None:
    """Return whether the file of an open PNG or JPEG is complete; None for formats without an end marker."""
    size = os.path.getsize(path)
    if image.format == "PNG":
        return png_chunks(path)[-1:] == [b"IEND"]
    if image.format in ("JPEG", "MPO"):
        with open(path, "rb") as handle:
            handle.seek(max(0, size - TAIL))
            return JPEG_END in handle.read()
    return None
