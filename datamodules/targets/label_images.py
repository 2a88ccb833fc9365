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
        name: name of the array: ids `(H, W)` as the file has them, int32, or int64 from 2^31.
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
        path = self._path(row.image_id)
        labels = read_picture(path, "unchanged")
        if labels.shape[2] != 1:
            raise ValueError(f"label image {path} has {labels.shape[2]} channels, expected 1")
        if labels.shape[:2] != size:
            raise ValueError(f"label image {path} is {labels.shape[:2]}, its image is {size}")
        return {self.name: as_ids(labels[..., 0], path)}


def as_ids(labels: np.ndarray, path: Path) -> np.ndarray:
    """Numbers of any type as ids of objects: int32, or int64 where they need it.

    Raises:
        ValueError: a fraction, NaN, a number below 0, or one that no array of whole numbers holds; names the file.
    """
    low, high = labels.min(initial=0).item(), labels.max(initial=0).item()
    if labels.dtype.kind == "f" and not (np.rint(labels) == labels).all():
        wrong = labels[np.rint(labels) != labels].flat[0]
        raise ValueError(f"label image {path} holds {wrong}, expected whole numbers; is it a map of probabilities?")
    if low < 0 or high >= 2**63:
        raise ValueError(f"label image {path} holds {low if low < 0 else high}, expected ids of 0 (background) to 2^63")
    return labels.astype(np.int32 if high < 2**31 else np.int64)
