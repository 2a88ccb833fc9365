"""One file of instance ids per image."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.readers.images import read_picture
from datamodules.targets.base import Target, missing_files
from preprocessing.files import confined


class LabelImages(Target):
    """`instances` from pictures whose pixels are instance ids, 0 = background.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `labels/{image_id}.png`.
        name: name of the array, uint16 ids `(H, W)`.
    """

    def __init__(self, pattern: str, name: str = "instances") -> None:
        self.pattern, self.name = pattern, name

    def _path(self, image_id: str) -> Path:
        return confined(self.root, self.pattern.format(image_id=image_id))

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        missing_files({image_id: self._path(image_id) for image_id in table["image_id"]}, "label image")

    def files(self, row: Any) -> list[Path]:
        return [self._path(row.image_id)]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        labels = read_picture(self._path(row.image_id), "unchanged")
        if labels.shape[2] != 1:
            raise ValueError(f"label image {self._path(row.image_id)} has {labels.shape[2]} channels, expected 1")
        if labels.shape[:2] != size:
            raise ValueError(f"label image {self._path(row.image_id)} is {labels.shape[:2]}, its image is {size}")
        return {self.name: labels[..., 0].astype(np.uint16)}
