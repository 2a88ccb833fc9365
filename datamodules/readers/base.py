"""The base of every reader."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.row import Row


class ImageReadError(ValueError):
    """A file that cannot be read as an image; names it."""


class Pixels(NamedTuple):
    """What an image is made of, by its header.

    Attributes:
        type: name of the array's type; below 8 bits how many of them mean white: `4-bit`.
        channels: how many there are.
    """

    type: str
    channels: int


class Reader(ABC):
    """Reads the image of a table row.

    A subclass keeps each argument of its constructor under its own name: by them the decoded cache tells settings
    apart. A row may have a `window` (see `datamodules.windows`): a reader that sets `windowed` reads that part alone,
    the others read everything and the decoder cuts it out.
    """

    windowed: bool = False

    @abstractmethod
    def read(self, row: Row) -> np.ndarray:
        """`(H, W, C)` in the file's own type.

        Args:
            row: a row of the table, with at least `image_id` and `path`.

        Raises:
            ImageReadError: names the file.
        """

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """The image, and where it holds data: bool `(H, W)`, or None when every pixel counts."""
        return self.read(row), None

    def known(self, row: Row) -> np.ndarray | None:
        """Where the image holds data, as `read_with_valid` says; a reader may know it with less work."""
        return None if type(self).read_with_valid is Reader.read_with_valid else self.read_with_valid(row)[1]

    @abstractmethod
    def size(self, row: Row) -> tuple[int, int]:
        """`(H, W)`, from the header alone."""

    def pixels(self, row: Row) -> Pixels | None:
        """Type and number of the channels that `read` gives, from headers alone; None where only reading tells.

        A set of pictures must agree in both, or the same number means another brightness.
        """
        return None

    def check(self, row: Row) -> None:
        """Raise what `read` would raise, as far as a look at the files tells; of every image before training.

        Raises:
            ImageReadError: names the file.
        """
        for file in self.files(row):
            path = Path(file)
            if not path.exists():
                raise ImageReadError(f"{path} is not there")
            if path.is_file() and path.stat().st_size == 0:
                raise ImageReadError(f"{path} is empty (0 bytes)")

    def files(self, row: Row) -> list[Path | str]:
        """The files that `read` opens, for the decoded cache to see when one changes."""
        return [row.path]
