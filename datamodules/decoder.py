"""From files to arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers import Reader
from datamodules.targets import Target

Arrays = dict[str, np.ndarray]


class Decoder:
    """Reads the image of a table row and what the targets know about it.

    Args:
        reader: reads the image.
        targets: sources of truth, already prepared; empty for images without truth.
    """

    def __init__(self, reader: Reader, targets: list[Target]) -> None:
        self.reader, self.targets = reader, targets

    def read(self, row: Any) -> tuple[np.ndarray, Arrays]:
        """Image `(H, W, C)` and the arrays of the targets by name."""
        image = self.reader.read(row)
        arrays: Arrays = {}
        for target in self.targets:
            arrays |= target.read(row, image.shape[:-1])
        return image, arrays

    def files(self, row: Any) -> list[Path | str]:
        """Every file that `read` opens for a row."""
        return [*self.reader.files(row), *(file for target in self.targets for file in target.files(row))]
