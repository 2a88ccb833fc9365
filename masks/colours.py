"""Class numbers of coloured pixels."""

from collections.abc import Mapping

import numpy as np

from masks.void import VOID

UNKNOWN = VOID - 1
Colour = tuple[int, int, int]


class ColourTable:
    """The class number of each of 2^24 colours: one look-up per pixel, however many classes there are.

    Args:
        numbers: class number of each colour (red, green, blue), 0 … 253, or 255 for void.
    """

    def __init__(self, numbers: Mapping[Colour, int]) -> None:
        self.numbers = dict(numbers)
        self._table: np.ndarray | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_table": None}  # 16 MB, which every worker makes in milliseconds

    def read(self, image: np.ndarray) -> np.ndarray:
        """Class number of each pixel of an image `(H, W, 3)` uint8 RGB, `(H, W)` uint8; `UNKNOWN` for other colours."""
        if self._table is None:
            self._table = np.full(1 << 24, UNKNOWN, np.uint8)
            for colour, number in self.numbers.items():
                self._table[packed(np.array(colour, np.uint8))] = number
        return self._table[packed(image)]


def packed(image: np.ndarray) -> np.ndarray:
    """Colours `(…, 3)` uint8 RGB as one number each, `(…,)` uint32: red + 256 green + 65536 blue."""
    padded = np.zeros((*image.shape[:-1], 4), np.uint8)
    padded[..., :3] = image
    return padded.view("<u4")[..., 0]


def unpacked(number: int) -> Colour:
    """Red, green and blue of a packed colour."""
    return number & 255, number >> 8 & 255, number >> 16
