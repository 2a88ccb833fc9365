"""Truth in NumPy files."""

from pathlib import Path

import numpy as np

from datamodules.readers.arrays import open_array
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from datamodules.targets.mask_files import as_numbers, as_truth
from masks.void import VOID, is_class_map


class ArrayFiles(FilePerImage):
    """An array from a `.npy` file per image, as it is, and `valid` where some pixels do not count.

    It may hold masks `(K, H, W)`, class numbers, ids or a map of numbers `(H, W)`, in which NaN and infinity do not
    count. Without `classes`, whole numbers of the type int64 are those of classes, of which 255 does not count, and of
    any other type ids. `python cli.py prepare` writes such files for what no picture holds: several masks of one image.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `masks/mask/{image_id}.npy`.
        name: name of the array.
        classes: a number for class numbers 0 … classes − 1 of any type: `(H, W)` int64, 255 where a pixel does not
            count.
        ignore: value of pixels that do not count; of masks in any channel. 255 of class numbers unless given.
    """

    windowed = True
    what = "array"

    def __init__(self, pattern: str, name: str = "mask", classes: int | None = None, ignore: int | None = None) -> None:
        self.pattern, self.name, self.classes, self.ignore = pattern, name, classes, ignore

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        array = open_array(path)
        window = getattr(row, "window", None)
        if window is not None:
            top, left, height, width = window
            array = array[..., top : top + height, left : left + width]
        if array.shape[-2:] != tuple(size):
            raise ValueError(f"array {path} is {array.shape}, its image {row.image_id!r} is {tuple(size)}")
        return self._truth(np.array(array), path)

    def _truth(self, array: np.ndarray, path: Path) -> dict[str, np.ndarray]:
        if self.classes is not None:
            if array.ndim != 2:
                raise ValueError(f"array {path} is {array.shape}, class numbers are (H, W); leave out `classes`")
            return as_truth(as_numbers(array, path, self.classes, self.ignore), self.name, self.classes)
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
        """Refuse class numbers that are ids, by their type class numbers: the 255th object would not count."""
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < VOID:
            wrong = numbers.min() if numbers.min() < 0 else numbers.max()
            raise ValueError(
                f"array {path} holds {wrong} as int64, which is for class numbers of 0 to {VOID - 1}; save ids of "
                "objects as int32, uint16 or uint32, or say which value does not count with `ignore` of the target"
            )
