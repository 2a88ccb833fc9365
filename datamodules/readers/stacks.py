"""A slice and its neighbours as the channels of one image."""

from pathlib import Path

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.images import ImageReader
from datamodules.row import Row


class StackReader(Reader):
    """Neighbouring slices as channels, from low to high, with the slice itself in the middle; for `SliceDataModule`.

    UW-Madison's 1st, 3rd and 5th places used three slices, two apart. At the ends of a volume the last slice is
    repeated. The network needs the same number of input channels; an unreadable file affects its neighbours too.

    Args:
        neighbours: number of slices on each side.
        stride: step between slices.
        reader: reader of the slices (default: gray images of any bit depth).
    """

    def __init__(self, neighbours: int = 1, stride: int = 1, reader: Reader | None = None) -> None:
        if neighbours < 0 or stride < 1:
            raise ValueError(f"StackReader: neighbours is {neighbours}, stride {stride}; expected >= 0 and >= 1")
        self.neighbours, self.stride, self.reader = neighbours, stride, reader or ImageReader("gray")

    def read(self, row: Row) -> np.ndarray:
        return self.read_with_valid(row)[0]

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the stack, and the valid pixels of the slice itself, to which the target belongs."""
        found = [self.reader.read_with_valid(type(row)(**(vars(row) | {"path": path}))) for path in self.files(row)]
        parts = [part for part, _ in found]
        kinds = sorted({f"{part.shape} {part.dtype}" for part in parts})
        if len(kinds) > 1:
            raise ImageReadError(f"{row.path} and its neighbouring slices differ in size or type: {', '.join(kinds)}")
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
            raise ImageReadError(f"{row.path}: its neighbours are unknown; StackReader needs SliceDataModule")
        return row.slices
