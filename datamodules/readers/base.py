"""The base class of readers."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.row import Row


class ImageReadError(ValueError):
    """A file that cannot be read as an image; the message names it."""


class Pixels(NamedTuple):
    """Pixel type and number of channels of an image, from its header.

    Attributes:
        type: name of the array's type; below 8 bits the number of bits: `4-bit`.
        channels: number of channels.
    """

    type: str
    channels: int


class Reader(ABC):
    """Base class of readers of the image of a table row.

    A subclass stores each constructor argument as an attribute of the same name, so that the decoded cache detects
    changed settings. A row may have a `window` (see `datamodules.windows`): readers that set `windowed` read only that
    part, others read the whole image, which the decoder crops.
    """

    windowed: bool = False

    @abstractmethod
    def read(self, row: Row) -> np.ndarray:
        """Return the image `(H, W, C)` in the file's type.

        Args:
            row: row of the table, with at least `image_id` and `path`.

        Raises:
            ImageReadError: if the file cannot be read; names it.
        """

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the image, and its valid pixels: bool `(H, W)`, or None if all are valid."""
        return self.read(row), None

    def known(self, row: Row) -> np.ndarray | None:
        """Return the valid pixels of `read_with_valid`; override it if less work is possible."""
        return None if type(self).read_with_valid is Reader.read_with_valid else self.read_with_valid(row)[1]

    @abstractmethod
    def size(self, row: Row) -> tuple[int, int]:
        """Return `(H, W)`, from the header alone."""

    def pixels(self, row: Row) -> Pixels | None:
        """Return type and number of channels of `read`, from headers alone; None if headers do not tell.

        Images of a data set must agree in both, else equal values differ in brightness.
        """
        return None

    def check(self, row: Row) -> None:
        """Raise the errors of `read` that show without decoding; called for every image before training.

        Raises:
            ImageReadError: if the file is faulty; names it.
        """
        for file in self.files(row):
            path = Path(file)
            if not path.exists():
                raise ImageReadError(f"{path} does not exist")
            if path.is_file() and path.stat().st_size == 0:
                raise ImageReadError(f"{path} is empty (0 bytes)")

    def files(self, row: Row) -> list[Path | str]:
        """Return the files that `read` opens, so that the decoded cache detects changes."""
        return [row.path]
