"""One mask file per image: binary, or class numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.readers.images import read_picture
from datamodules.targets.base import Target, missing_files
from preprocessing.files import confined


class MaskFiles(Target):
    """`mask` from picture files.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `train/masks/{image_id}.png`.
        name: name of the array.
        classes: None for binary masks: two values (0 and 1, 255 or 65535) become `(1, H, W)` uint8 of 0 and 1. A number
            for class numbers 0 … classes − 1 (a palette is read as its numbers): `(H, W)`.
        ignore: class number of pixels that do not count.
        values: for files with other numbers, or more of them than wanted: which become class 1, 2, …; a list entry
            joins several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other numbers are class 0.
    """

    def __init__(
        self,
        pattern: str,
        name: str = "mask",
        classes: int | None = None,
        ignore: int = 255,
        values: list[int | list[int]] | None = None,
    ) -> None:
        if values is not None and classes not in (None, len(values) + 1):
            raise ValueError(f"MaskFiles: {len(values)} values and class 0, but classes is {classes}")
        self.pattern, self.name, self.ignore, self.values = pattern, name, ignore, values
        self.classes = len(values) + 1 if values is not None else classes

    def _path(self, image_id: str) -> Path:
        return confined(self.root, self.pattern.format(image_id=image_id))

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        missing_files({image_id: self._path(image_id) for image_id in table["image_id"]}, "mask")

    def files(self, row: Any) -> list[Path]:
        return [self._path(row.image_id)]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self._path(row.image_id)
        mask = read_picture(path, "unchanged")
        if mask.shape[:2] != size:
            raise ValueError(
                f"mask {path} is {mask.shape[:2]}, its image {row.image_id!r} is {size}; if one is turned, look "
                "at its EXIF orientation"
            )
        if mask.shape[2] > 1 and (mask == mask[..., :1]).all():
            mask = mask[..., :1]
        if mask.shape[2] != 1:
            raise ValueError(f"mask {path} has {mask.shape[2]} differing channels, expected 1")
        mask = mask[..., 0]
        if self.values is not None:
            found = mask
            mask = np.where(found == self.ignore, self.ignore, 0)
            for number, wanted in enumerate(self.values, 1):
                mask[np.isin(found, wanted)] = number
        return {self.name: as_mask(mask, path, self.classes, self.ignore)}


def as_mask(values: np.ndarray, path: Path, classes: int | None, ignore: int | None = None) -> np.ndarray:
    """The values `(H, W)` of a file as a mask: `(1, H, W)` uint8 of 0 and 1, or class numbers `(H, W)` int64.

    Args:
        values: what the file holds.
        path: named in errors.
        classes: number of classes; None for binary.
        ignore: class number of pixels that do not count.

    Raises:
        ValueError: a third value in a binary mask, or a class number outside the classes.
    """
    present = np.unique(values)
    if classes is None:
        if not set(present.tolist()) <= {0, int(present.max())} or int(present.max()) not in (0, 1, 255, 65535):
            raise ValueError(
                f"mask {path} holds {present[:6].tolist()}, expected 0 and one of 1, 255, 65535; for class numbers "
                "set `classes` of the target"
            )
        return (values > 0).astype(np.uint8)[None]
    wrong = [value for value in present.tolist() if not 0 <= value < classes and value != ignore]
    if wrong:
        ignored = f" (or {ignore}, ignored)" if ignore is not None else ""
        raise ValueError(f"mask {path} holds class {wrong[0]}, expected 0 to {classes - 1}{ignored}")
    return values.astype(np.int64)
