"""COCO's run lengths as text: counts of pixels that are not and are in a mask, by turns, down the columns.

The format of `pycocotools.mask`: a count from the fourth on is the difference to the last but one; a number is written
in groups of five bits, the lowest first, a sixth bit says that more follow, and 48 makes a letter of it.
"""

import numpy as np


def encode(runs: np.ndarray, pixels: int) -> bytes:
    """The text of a mask.

    Args:
        runs: `(2, R)`: first pixel and the one after the last, rising, with a gap between two.
        pixels: of the whole image.
    """
    counts = np.diff(np.concatenate([[0], np.asarray(runs).T.ravel(), [pixels]])).tolist()
    if len(counts) > 1 and not counts[-1]:  # a mask that reaches the last pixel ends there
        counts.pop()
    text = bytearray()
    for number, count in enumerate(counts):
        left = count - counts[number - 2] if number > 2 else count
        while True:
            bits, left = left & 31, left >> 5
            last = left == (-1 if bits & 16 else 0)
            text.append(48 + bits + (0 if last else 32))
            if last:
                break
    return bytes(text)


def decode(text: bytes, pixels: int) -> np.ndarray:
    """The runs `(2, R)` int64 of a mask.

    Raises:
        ValueError: letters that do not occur in such a text, one that is cut off, counts below 0 or of another sum.
    """
    counts: list[int] = []
    value = shift = 0
    for place, letter in enumerate(text):
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError(f"COCO run lengths have no letter {bytes([letter])!r}, found at place {place}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("COCO run lengths end within a number")
    if counts and min(counts) < 0:
        raise ValueError(
            f"COCO run lengths: count {counts.index(min(counts)) + 1} is {min(counts)}, expected 0 or more"
        )
    if sum(counts) != pixels:
        raise ValueError(f"COCO run lengths cover {sum(counts)} pixels, the image has {pixels}")
    borders = np.cumsum(np.array(counts, np.int64))
    ends = borders[1::2]
    runs = np.stack([borders[::2][: len(ends)], ends])
    return runs[:, runs[1] > runs[0]]
