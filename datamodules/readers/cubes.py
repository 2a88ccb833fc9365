"""Cubes of volumes around a point of each row."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers.base import ImageReadError
from datamodules.readers.volumes import Grid, VolumeReader, check_size, read_volume, source_of
from datamodules.row import Row
from preprocessing.orientation import orientation_to
from preprocessing.series import voxel_of
from preprocessing.spacing import resample_onto, spacing_of


class CubeReader(VolumeReader):
    """Reads a cube around a point of each row from its volume: nodules for a network such as `networks.C3D`.

    Rows of one volume should be adjacent, as only the last volume is kept in memory; `data.cache: disk` keeps the
    cubes. Outside of the volume, the values of its border are repeated.

    The other arguments are those of `VolumeReader`.

    Args:
        cube: size along (slice, row, column), in voxels of `spacing`; 32 each at 1 mm found nodules in the Data Science
            Bowl 2017.
        column: column of the point, a JSON list `[x, y, z]` in millimetres like DICOM and LUNA16 (LPS).
    """

    def __init__(self, *args: Any, cube: list[int] = [32, 32, 32], column: str = "centre", **kwargs: Any) -> None:  # noqa: B006
        super().__init__(*args, **kwargs)
        if len(cube) != 3 or min(cube) < 1:
            raise ValueError(f"CubeReader: cube is {cube}, expected [slices, rows, columns], each 1 or more")
        self.cube, self.column = cube, column
        self._last: tuple[str, np.ndarray, np.ndarray] | None = None

    def read(self, row: Row) -> np.ndarray:
        """Return `(*cube, C)`: uint8 with a `window`, else the volume's type.

        Raises:
            ImageReadError: if a file cannot be read, or a row has no point in it; names the file or row.
        """
        volume, affine = self._whole(row)
        onto = self._placed(row, affine, volume.shape[:3])
        if self.axcodes is not None:
            turn = orientation_to(affine, self.axcodes)
            affine = turn.affine(affine, volume.shape[:3])
            channels = [turn.apply(volume[..., index]) for index in range(volume.shape[3])]
        else:
            channels = [volume[..., index] for index in range(volume.shape[3])]
        return self.shown([resample_onto(channel, affine, self.cube, onto) for channel in channels])

    def size(self, row: Row) -> tuple[int, int, int]:
        return self.cube[0], self.cube[1], self.cube[2]

    def grid(self, row: Row) -> Grid:
        size, affine = self._grid(row)
        return self.size(row), self._placed(row, affine, size)

    def _whole(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Return the row's volume `(D, H, W, C)` as stored in its file, and its affine."""
        source = source_of(row)
        if self._last is None or self._last[0] != str(source):
            check_size(source, self._grid(row)[0], self.max_voxels)
            self._last = str(source), *read_volume(source)
        return self._last[1:]

    def _placed(self, row: Row, affine: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Return the affine of the cube, in this reader's orientation and voxel size, for the grid of the file."""
        place = voxel_of(self._point(row), affine)
        if ((place < -0.5) | (place > np.array(size) - 0.5)).any():
            raise ImageReadError(
                f"image {row.image_id!r}: {self.column} is at voxel {np.round(place, 1).tolist()}, outside of "
                f"{getattr(row, 'path', 'its volume')} of {size}"
            )
        world = affine @ [*place, 1]
        affine = affine if self.axcodes is None else orientation_to(affine, self.axcodes).affine(affine, size)
        ratio = np.ones(3) if self.spacing is None else np.array(self.spacing) / spacing_of(affine)
        onto = affine @ np.diag([*ratio, 1])
        onto[:3, 3] = world[:3] - onto[:3, :3] @ ((np.array(self.cube) - 1) / 2)
        return onto

    def _point(self, row: Row) -> np.ndarray:
        text = getattr(row, self.column, "")
        try:
            point = np.array(json.loads(text), np.float64)
        except (TypeError, ValueError):
            point = np.zeros(0)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise ImageReadError(
                f"image {row.image_id!r}: {self.column} is {text!r}, expected [x, y, z] in millimetres; CubeReader "
                "needs rows of points, such as datamodules.external.Lidc with rows: readings"
            )
        return point

    def restore(self, row: Row, prediction: np.ndarray, order: int = 1) -> np.ndarray:
        raise ImageReadError(f"{Path(row.path)}: cubes were predicted, which cannot be restored to voxels of the file")
