"""Label volumes: one file of voxel labels per image."""

from pathlib import Path

import numpy as np

from datamodules.readers.volumes import VolumeReader, files_of, read_grid, read_volume, source_of
from datamodules.row import Row
from datamodules.targets.mask_files import NumberedMasks
from preprocessing.orientation import axis_codes, orientation_to

TOLERANCE = 0.1  # voxels; float32 headers and tools that write both files differ by thousandths


class MaskVolumes(NumberedMasks):
    """`mask` from volumes in any format of `VolumeReader`, reoriented and resampled like the image; `valid` if some
    voxels are void.

    The label volume must have the image's grid; only its orientation may differ. `VolumeDataModule` passes the image
    reader to it; elsewhere call `follow(reader)`.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `labels/{image_id}.nii.gz`.
        name: name of the array.
        classes: number of classes, or their names, for class numbers 0 … classes − 1: `(D, H, W)` int64, 255 for void
            voxels (default: `data.classes`). None for binary masks: two values (0 and 1 or 255) become `(1, D, H, W)`
            uint8 of 0 and 1.
        ignore: file value of void voxels (default: 255 for class numbers, none for binary masks, where 255 is white).
        values: file values that become class 1, 2, …, if the file has other numbers or more than needed; a list entry
            merges several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other values become class 0.
    """

    what = "label volume"
    folders = True
    _reader: VolumeReader | None = None

    def follow(self, reader: VolumeReader) -> None:
        self._reader = reader

    def files(self, row: Row) -> list[Path]:
        return files_of(self.path(row.image_id))

    def read(self, row: Row, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return the mask of a row.

        Raises:
            ImageReadError: if a file cannot be read.
            ValueError: if the grid differs from the image's (names both files and affines), or values are invalid.
        """
        if self._reader is None:
            raise ValueError("MaskVolumes does not know the image reader; use datamodules.VolumeDataModule")
        path = self.path(row.image_id)
        labels, affine = read_volume(path)
        if labels.shape[3] != 1:
            raise ValueError(f"label volume {path} has {labels.shape[3]} channels, expected 1")
        labels = labels[..., 0]
        image = source_of(row)
        image_size, image_affine = read_grid(image)
        # Reorient to the image's stored orientation, so that both are then transformed alike.
        labels, affine = _turned(labels, affine, image_affine)
        difference = _distance(labels.shape, affine, image_size, image_affine)
        if difference is None or difference > TOLERANCE:
            far = "" if difference is None else f" ({difference:.3g} voxels apart)"
            raise ValueError(
                f"label volume {path} and image {image if isinstance(image, Path) else image[0]} have different "
                f"grids{far}: {labels.shape} with affine {np.round(affine, 4).tolist()} against {image_size} with "
                f"affine {np.round(image_affine, 4).tolist()}; resample one to the grid of the other"
            )
        numbers = self.numbers(labels, path)
        numbers, _ = self._reader.placed(numbers, image_affine, order=0)
        if numbers.shape != tuple(size):
            raise ValueError(f"label volume {path} is {numbers.shape}, its image {row.image_id!r} is {tuple(size)}")
        return self.from_numbers(np.ascontiguousarray(numbers))


def _turned(labels: np.ndarray, affine: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turn = orientation_to(affine, axis_codes(like))
    return turn.apply(labels), turn.affine(affine, labels.shape)


def _distance(
    size: tuple[int, ...], affine: np.ndarray, other_size: tuple[int, ...], other: np.ndarray
) -> float | None:
    """Return the maximum distance between corners of two grids, in voxels of the second; None if sizes differ."""
    if tuple(size) != tuple(other_size):
        return None
    ends = np.array(np.meshgrid(*([0, side - 1] for side in size), indexing="ij")).reshape(3, -1)
    corners = np.concatenate([ends, np.ones((1, 8))])
    apart = np.linalg.solve(other, (affine - other) @ corners)[:3]
    return float(np.abs(apart).max())
