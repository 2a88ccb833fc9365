"""Images in NumPy files."""

from typing import Any

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.row import Row


class ArrayReader(Reader):
    """Reads `.npy` files of `(H, W, C)` or `(H, W)`, of any type and number of channels; windows are read alone.

    `python cli.py prepare --format npy` writes them, for more channels or other types than PNG supports.
    """

    windowed = True

    def read(self, row: Row) -> np.ndarray:
        array = open_array(row.path)
        window = getattr(row, "window", None)
        if window is not None:
            top, left, height, width = window
            array = array[top : top + height, left : left + width]
        array = np.array(array)  # a copy: a memory map keeps its file open
        return array if array.ndim == 3 else array[..., None]

    def size(self, row: Row) -> tuple[int, int]:
        return open_array(row.path).shape[:2]

    def pixels(self, row: Row) -> Pixels:
        array = open_array(row.path)
        return Pixels(array.dtype.name, array.shape[2] if array.ndim == 3 else 1)


def open_array(path: Any) -> np.ndarray:
    """Return the memory-mapped array of a `.npy` file.

    Raises:
        ImageReadError: if the file is missing, truncated, not a `.npy` file, or has Python objects or fewer than 2
            axes.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ImageReadError(f"{path} is not a readable NumPy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        found = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise ImageReadError(f"{path} contains {found}, expected an array of 2 or 3 axes")
    return array
