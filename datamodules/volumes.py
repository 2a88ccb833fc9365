"""Volumes, as patches for training and whole for prediction."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from datamodules.base import BaseDataModule
from datamodules.plain.volumes import VolumeData
from datamodules.row import Row
from datamodules.windows import GridWindows, RandomWindows, Windows, with_window
from masks.void import foreground
from preprocessing.patches import balanced_patches, coarse_places, random_patches

AXES = {"slice": 0, "row": 1, "column": 2}


class VolumeDataModule(VolumeData, BaseDataModule):
    """The volumes of `VolumeData` for training and prediction.

    Train on patches with `windows: VolumePatches`; `model.inference` predicts networks with 3-D convolutions in 3-D
    tiles. Arguments are those of `BaseDataModule`; `augmentation` must be empty, as albumentations supports only 2-D
    images.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.augmentation:
            raise ValueError(
                "data.augmentation is set, but albumentations does not support volumes; remove it and set data.windows "
                "to datamodules.volumes.VolumePatches (its `flips` mirrors patches)"
            )
        if isinstance(self.windows, RandomWindows | GridWindows):
            raise ValueError(
                f"data.windows is {type(self.windows).__name__}, which crops 2-D images; volumes need "
                "datamodules.volumes.VolumePatches"
            )


class VolumePatches(Windows):
    """One patch per volume and draw, a share of them with foreground; `data.samples_per_image` draws more.

    Volumes smaller than the patch are padded on all sides: the image with the patch's minimum (air), masks with 0, and
    `valid` with False, so that the loss ignores the padding.

    Args:
        size: size of the patch along (slice, row, column), in voxels after reading.
        positive: share of patches in 0..1 that contain foreground, for volumes that have any; the others contain none
            if possible (default: left to chance). nnU-Net uses a third.
        target: name of the target array whose values above 0 are foreground.
        ignore: class number not counted as foreground; void voxels never are.
        flips: axes along which patches are mirrored, each with probability 0.5: `[slice, row, column]` (default:
            none, as mirroring confuses left and right organs).
    """

    CELL = 4  # side of the cubes in which foreground is stored; patches of few slices must contain one

    def __init__(
        self,
        size: list[int],
        positive: float | None = None,
        target: str = "mask",
        ignore: int | None = None,
        flips: list[Literal["slice", "row", "column"]] | None = None,
    ) -> None:
        if len(size) != 3 or min(size) < 1:
            raise ValueError(f"VolumePatches: size is {size}, expected [slices, rows, columns], each 1 or more")
        if positive is not None and not 0 <= positive <= 1:
            raise ValueError(f"VolumePatches: positive is {positive}, expected a share in 0..1")
        unknown = sorted(set(flips or []) - set(AXES))
        if unknown:
            raise ValueError(f"VolumePatches: flips has {unknown}, expected some of {list(AXES)}")
        self.size, self.positive, self.target, self.ignore, self.flips = size, positive, target, ignore, flips or []
        self.rows: list[Row] = []
        self.filled: list[np.ndarray] = []  # (n, 3) cubes with foreground, per row
        self.padded = False  # whether some volume is smaller than the patch

    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        self.rows, self.sizes = rows, [tuple(size(row)) for row in rows]
        # A batch stacks the same arrays of every sample, so either all have `valid` or none.
        self.padded = any(side < want for sides in self.sizes for side, want in zip(sides, self.size, strict=True))
        pairs = zip(rows, self.sizes, strict=True)
        self.filled = [self._foreground(row, sides, read) for row, sides in pairs] if self.positive is not None else []

    def _foreground(self, row: Row, sides: tuple[int, ...], read: Callable[[Any], dict]) -> np.ndarray:
        arrays = read(with_window(row, (0, 0, 0, *sides)))
        if self.target not in arrays:
            raise ValueError(
                f"VolumePatches: target {self.target!r} is not read from files, only {sorted(arrays)} are; set "
                "data.windows.target"
            )
        mask = foreground(arrays, self.target)
        mask &= True if self.ignore is None else arrays[self.target] != self.ignore
        return coarse_places(mask.any(0) if mask.ndim == 4 else mask, self.CELL).astype(np.int32)

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, number: int, rng: np.random.Generator) -> tuple[int, Row]:
        sides = self.sizes[number]
        if self.positive is None:
            window = random_patches(sides, self.size, 1, rng)[0]
        else:
            window = balanced_patches(sides, self.size, 1, self.filled[number], rng, self.positive, self.CELL)[0]
        return number, with_window(self.rows[number], window)

    def finish(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Pad a patch `(d, h, w, C)` and its arrays `(..., d, h, w)` to `size`, then mirror them."""
        sides = image.shape[:3]
        spatial = {name: array for name, array in arrays.items() if array.ndim >= 3 and array.shape[-3:] == sides}
        if self.padded and "valid" not in spatial:
            spatial["valid"] = np.ones(sides, bool)
        lacking = [max(0, want - side) for want, side in zip(self.size, sides, strict=True)]
        if any(lacking):
            around = [(lack // 2, lack - lack // 2) for lack in lacking]
            lowest = image.min(axis=(0, 1, 2))
            image = np.stack(
                [np.pad(image[..., channel], around, constant_values=low) for channel, low in enumerate(lowest)],
                axis=-1,
            )
            spatial = {name: np.pad(array, [(0, 0)] * (array.ndim - 3) + around) for name, array in spatial.items()}
        mirrored = [AXES[name] for name in self.flips if rng.random() < 0.5]
        if mirrored:
            image = np.flip(image, mirrored)
            spatial = {
                name: np.flip(array, [array.ndim - 3 + axis for axis in mirrored]) for name, array in spatial.items()
            }
        return image, arrays | spatial
