"""A slice and those around it as the channels of one picture."""

from pathlib import Path

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.images import ImageReader
from datamodules.row import Row


class StackReader(Reader):
    """Neighbouring slices as channels, from low to high, the slice itself in the middle; for `SliceDataModule`.

    UW-Madison's 1st, 3rd and 5th places saw three slices, two apart. At the ends of a volume the last is repeated.
    The network needs as many input channels; a file that cannot be read is missed by its neighbours too.

    Args:
        neighbours: slices on each side.
        stride: steps between them.
        reader: reads each of them; 16-bit gray pictures unless given.
    """

    def __init__(self, neighbours: int = 1, stride: int = 1, reader: Reader | None = None) -> None:
        if neighbours < 0 or stride < 1:
            raise ValueError(f"StackReader: neighbours {neighbours} and stride {stride}, expected 0 and 1 or more")
        self.neighbours, self.stride, self.reader = neighbours, stride, reader or ImageReader("gray")

    def read(self, row: Row) -> np.ndarray:
        return self.read_with_valid(row)[0]

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """The stack, and where the slice itself, which the truth is about, holds data."""
        found = [self.reader.read_with_valid(type(row)(**(vars(row) | {"path": path}))) for path in self.files(row)]
        parts = [part for part, _ in found]
        kinds = sorted({f"{part.shape} {part.dtype}" for part in parts})
        if len(kinds) > 1:
            raise ImageReadError(f"{row.path} and the slices around it have several sizes or types: {', '.join(kinds)}")
        return np.concatenate(parts, axis=2), found[len(found) // 2][1]

    def known(self, row: Row) -> np.ndarray | None:
        return self.reader.known(row)

    def size(self, row: Row) -> tuple[int, int]:
        return self.reader.size(row)

    def pixels(self, row: Row) -> Pixels | None:
        one = self.reader.pixels(row)
        return one and Pixels(one.type, one.channels * len(self.files(row)))

    def check(self, row: Row) -> None:
        self.reader.check(row)

    def files(self, row: Row) -> list[Path | str]:
        if not hasattr(row, "slices"):
            raise ImageReadError(f"{row.path}: its neighbours are not known; StackReader goes with SliceDataModule")
        return row.slices
