"""The base of every reader."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class ImageReadError(ValueError):
    """A file that cannot be read as an image; names it."""


class Reader(ABC):
    """Reads the image of a table row."""

    @abstractmethod
    def read(self, row: Any) -> np.ndarray:
        """`(H, W, C)` in the file's own type.

        Args:
            row: a row of the table, with at least `image_id` and `path`.

        Raises:
            ImageReadError: names the file.
        """

    @abstractmethod
    def size(self, row: Any) -> tuple[int, int]:
        """`(H, W)`, from the header alone."""
