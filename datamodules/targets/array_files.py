"""Truth in NumPy files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.readers.arrays import open_array
from datamodules.targets.base import Target, missing_files
from preprocessing.files import confined


class ArrayFiles(Target):
    """An array from a `.npy` file per image, as it is: masks `(K, H, W)`, class numbers or ids `(H, W)`.

    `python cli.py prepare` writes them for what no picture holds: several masks of one image.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `masks/mask/{image_id}.npy`.
        name: name of the array.
    """

    windowed = True

    def __init__(self, pattern: str, name: str = "mask") -> None:
        self.pattern, self.name = pattern, name

    def _path(self, image_id: str) -> Path:
        return confined(self.root, self.pattern.format(image_id=image_id))

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        missing_files({image_id: self._path(image_id) for image_id in table["image_id"]}, "array")

    def files(self, row: Any) -> list[Path]:
        return [self._path(row.image_id)]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self._path(row.image_id)
        array = open_array(path)
        window = getattr(row, "window", None)
        if window is not None:
            top, left, height, width = window
            array = array[..., top : top + height, left : left + width]
        if array.shape[-2:] != tuple(size):
            raise ValueError(f"array {path} is {array.shape}, its image {row.image_id!r} is {tuple(size)}")
        return {self.name: np.array(array)}
