"""Targets in NumPy files."""

from pathlib import Path

import numpy as np

from datamodules.readers.arrays import open_array
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from datamodules.targets.mask_files import as_numbers, as_target
from masks.void import VOID, is_class_map


class ArrayFiles(FilePerImage):
    """An array from one `.npy` file per image, unchanged, and `valid` if some pixels are void.

    The file contains masks `(K, H, W)`, class numbers, ids or values `(H, W)`, where NaN and infinity are void. Without
    `classes`, int64 arrays are class numbers, where 255 is void, and other integers are ids. `python cli.py prepare`
    writes such files for targets that do not fit in an image file: several masks of one image.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `masks/mask/{image_id}.npy`.
        name: name of the array.
        classes: number of classes, or their names, for class numbers 0 … classes − 1 of any type: `(H, W)`
            int64, 255 for void pixels.
        ignore: value of void pixels; in masks, in any channel (default: 255 for class numbers).
    """

    windowed = True
    what = "array"

    def __init__(
        self, pattern: str, name: str = "mask", classes: int | list[str] | None = None, ignore: int | None = None
    ) -> None:
        self.pattern, self.name, self.classes, self.ignore = pattern, name, classes, ignore

    def adopts_classes(self, count: int) -> bool:
        return False  # the type of the array says what it is

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        array = open_array(path)
        window = getattr(row, "window", None)
        if window is not None:
            top, left, height, width = window
            array = array[..., top : top + height, left : left + width]
        if array.shape[-2:] != tuple(size):
            raise ValueError(f"array {path} is {array.shape}, its image {row.image_id!r} is {tuple(size)}")
        return self._from_array(np.array(array), path)

    def _from_array(self, array: np.ndarray, path: Path) -> dict[str, np.ndarray]:
        if self.classes is not None:
            if array.ndim != 2:
                raise ValueError(f"array {path} is {array.shape}, class numbers must be (H, W); remove `classes`")
            return as_target(as_numbers(array, path, self.class_count, self.ignore), self.name, self.class_count)
        void = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
        if self.ignore is not None:
            void |= array == self.ignore
        if is_class_map(array):
            void |= array == VOID
            self._check_numbers(array[~void], path)
        if not void.any():
            return {self.name: array}
        array[void] = VOID if is_class_map(array) else 0
        return {self.name: array, "valid": ~(void.any(0) if void.ndim == 3 else void)}

    def _check_numbers(self, numbers: np.ndarray, path: Path) -> None:
        """Reject ids saved with the type of class numbers: the 255th object would be void."""
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < VOID:
            wrong = numbers.min() if numbers.min() < 0 else numbers.max()
            raise ValueError(
                f"array {path} has value {wrong} as int64, the type of class numbers of 0 to {VOID - 1}; save ids of "
                "objects as int32, uint16 or uint32, or set the value of void pixels with `ignore` of the target"
            )
