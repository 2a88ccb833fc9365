"""Whether a picture file is whole, by its marks: no pixel is decoded."""

import os
from pathlib import Path

from PIL import Image

JPEG_END = b"\xff\xd9"
TAIL = 1 << 16  # bytes behind the end mark that a camera may add, at most
STRIPS = ((273, 279), (324, 325))  # TIFF's tags of offsets and lengths, of strips and of tiles


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
    """Whether the file of an open PNG, JPEG or TIFF is there to its end; None for formats that do not tell."""
    size = os.path.getsize(path)
    if picture.format == "PNG":
        return png_chunks(path)[-1:] == [b"IEND"]
    if picture.format in ("JPEG", "MPO"):
        with open(path, "rb") as handle:
            handle.seek(max(0, size - TAIL))
            return JPEG_END in handle.read()
    if picture.format == "TIFF":
        for offsets, lengths in STRIPS:
            if offsets in picture.tag_v2 and lengths in picture.tag_v2:
                pairs = zip(picture.tag_v2[offsets], picture.tag_v2[lengths], strict=False)
                return all(offset + length <= size for offset, length in pairs)
    return None
