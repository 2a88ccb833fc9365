"""Whether a picture file is whole, by its marks: no pixel is decoded."""

import os
from pathlib import Path

from PIL import Image

JPEG_END = b"\xff\xd9"
TAIL = 1 << 16  # bytes behind the end mark that a camera may add, at most


def png_chunks(path: Path | str) -> list[bytes]:
    """Types of the chunks of a PNG file, in order, as far as each is there to its end: `[b"IHDR", …, b"IEND"]`."""
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


def has_end(picture: Image.Image, path: Path | str) -> bool | None:
    """Whether the file of an open PNG or JPEG is there to its end; None for formats that do not tell."""
    size = os.path.getsize(path)
    if picture.format == "PNG":
        return png_chunks(path)[-1:] == [b"IEND"]
    if picture.format in ("JPEG", "MPO"):
        with open(path, "rb") as handle:
            handle.seek(max(0, size - TAIL))
            return JPEG_END in handle.read()
    return None
