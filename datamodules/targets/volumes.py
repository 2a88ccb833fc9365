"""Label volumes: a voxel mask in a file per image."""

from pathlib import Path

import numpy as np

from datamodules.readers.volumes import VolumeReader, files_of, read_grid, read_volume, source_of
from datamodules.row import Row
from datamodules.targets.mask_files import NumberedMasks
from preprocessing.orientation import axis_codes, orientation_to

TOLERANCE = 0.1  # voxels; headers of float32 and tools that write both files differ by thousandths


class MaskVolumes(NumberedMasks):
    """`mask` from volumes in any format that `VolumeReader` knows, turned and resampled exactly as the image; `valid`
    where some voxels do not count.

    The label volume must cover the image's voxels: it may be stored in another direction, but not on another grid.
    `VolumeDataModule` tells it the image's reader; elsewhere call `follow(reader)`.

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `labels/{image_id}.nii.gz`.
        name: name of the array.
        classes: None for binary masks: two values (0 and 1 or 255) become `(1, D, H, W)` uint8 of 0 and 1. A number for
            class numbers 0 … classes − 1: `(D, H, W)` int64, 255 where a voxel does not count.
        ignore: value in the file of voxels that do not count. Unless given, 255 among class numbers, and nothing in
            binary masks, where 255 is white.
        values: for files with other numbers, or more of them than wanted: which become class 1, 2, …; a list entry
            joins several (`[5, 1, [2, 3]]`: liver, spleen, both kidneys). All other numbers are class 0.
    """

    what = "label volume"
    folders = True
    _reader: VolumeReader | None = None

    def follow(self, reader: VolumeReader) -> None:
        self._reader = reader

    def files(self, row: Row) -> list[Path]:
        return files_of(self.path(row.image_id))

    def read(self, row: Row, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The mask of a row.

        Raises:
            ImageReadError: a file that cannot be read.
            ValueError: another grid than the image's; names both files and both affines. Values that are no labels.
        """
        if self._reader is None:
            raise ValueError("MaskVolumes does not know the reader of the images; use datamodules.VolumeDataModule")
        path = self.path(row.image_id)
        labels, affine = read_volume(path)
        if labels.shape[3] != 1:
            raise ValueError(f"label volume {path} has {labels.shape[3]} channels, expected 1")
        labels = labels[..., 0]
        image = source_of(row)
        image_size, image_affine = read_grid(image)
        # In the image's own direction, so that both then go the same way.
        labels, affine = _turned(labels, affine, image_affine)
        difference = _distance(labels.shape, affine, image_size, image_affine)
        if difference is None or difference > TOLERANCE:
            far = "" if difference is None else f" ({difference:.3g} voxels apart)"
            raise ValueError(
                f"label volume {path} and image {image if isinstance(image, Path) else image[0]} lie on different "
                f"grids{far}: {labels.shape} with affine {np.round(affine, 4).tolist()} against {image_size} with "
                f"affine {np.round(image_affine, 4).tolist()}; resample one onto the other"
            )
        numbers = self.numbers(labels, path)
        numbers, _ = self._reader.placed(numbers, image_affine, order=0)
        if numbers.shape != tuple(size):
            raise ValueError(f"label volume {path} is {numbers.shape}, its image {row.image_id!r} is {tuple(size)}")
        return self.truth(np.ascontiguousarray(numbers))


def _turned(labels: np.ndarray, affine: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turn = orientation_to(affine, axis_codes(like))
    return turn.apply(labels), turn.affine(affine, labels.shape)


def _distance(
    size: tuple[int, ...], affine: np.ndarray, other_size: tuple[int, ...], other: np.ndarray
) -> float | None:
    """How far the corners of two grids lie apart, in voxels of the second; None where their sizes differ."""
    if tuple(size) != tuple(other_size):
        return None
    ends = np.array(np.meshgrid(*([0, side - 1] for side in size), indexing="ij")).reshape(3, -1)
    corners = np.concatenate([ends, np.ones((1, 8))])
    apart = np.linalg.solve(other, (affine - other) @ corners)[:3]
    return float(np.abs(apart).max())
