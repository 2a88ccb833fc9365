"""COCO's compressed run lengths: alternating counts of background and mask pixels, column by column.

This is the format of `pycocotools.mask`: from the fourth on, a count is stored as the difference to the last but one;
numbers are written in groups of five bits, lowest first; a sixth bit means more follow, and adding 48 makes a letter.
"""

from collections.abc import Sequence

import numpy as np


def encode(runs: np.ndarray, pixels: int) -> bytes:
    """Encode a mask.

    Args:
        runs: first pixel of each run and the one after its last `(2, R)`, rising, with gaps between runs.
        pixels: number of pixels of the image.
    """
    counts = np.diff(np.concatenate([[0], np.asarray(runs).T.ravel(), [pixels]])).tolist()
    if len(counts) > 1 and not counts[-1]:  # no empty count after a mask that reaches the last pixel
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
    """Decode a mask to runs `(2, R)` int64.

    Raises:
        ValueError: invalid letters, a text that is cut off, counts below 0 or with a wrong sum.
    """
    counts: list[int] = []
    value = shift = 0
    for place, letter in enumerate(text):
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError(f"COCO run lengths: letter {place} is {bytes([letter])!r}, which is invalid")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("COCO run lengths are cut off within a number")
    return runs_of_counts(counts, pixels)


def runs_of_counts(counts: Sequence[int], pixels: int) -> np.ndarray:
    """Return the runs `(2, R)` int64 of uncompressed run lengths: counts of background and mask pixels in turn.

    Raises:
        ValueError: counts that are below 0 or no integers, or with a wrong sum.
    """
    odd = next((count for count in counts if not isinstance(count, int)), None)
    if odd is not None:
        raise ValueError(f"COCO run lengths contain {odd!r}, expected integers")
    if counts and min(counts) < 0:
        raise ValueError(
            f"COCO run lengths: count {counts.index(min(counts)) + 1} is {min(counts)}, expected 0 or more"
        )
    if sum(counts) != pixels:
        raise ValueError(f"COCO run lengths cover {sum(counts)} pixels, expected {pixels} as in the image")
    borders = np.cumsum(np.array(counts, np.int64))
    ends = borders[1::2]
    runs = np.stack([borders[::2][: len(ends)], ends])
    return runs[:, runs[1] > runs[0]]
