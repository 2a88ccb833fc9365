"""Resampling of volumes to one voxel size (Data Science Bowl 2017, 1st and 2nd place: 1 x 1 x 1 mm)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Return the voxel size along (slice, row, column) in mm, `(3,)`."""
    return np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)


def resampled_grid(
    size: Sequence[int], affine: np.ndarray, spacing_mm: Sequence[float]
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return size and affine of a volume after `resample`: the same extent (up to half a voxel) and the same centre.

    Args:
        size: `(D, H, W)`.
        affine: `(4, 4)` from (slice, row, column) to world millimetres.
        spacing_mm: target voxel size along (slice, row, column), in mm.

    Raises:
        ValueError: if `spacing_mm` is not three numbers above 0.
    """
    wanted = np.asarray(spacing_mm, np.float64)
    if wanted.shape != (3,) or not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(f"spacing is {list(spacing_mm)}, expected millimetres along slice, row and column, above 0")
    size = np.asarray(size, np.int64)
    ratio = wanted / spacing_of(affine)
    sides = np.maximum(1, np.rint(size / ratio)).astype(np.int64)
    # Centred, so that the result does not depend on the direction in which a file stores an axis.
    step = np.diag([*ratio, 1.0])
    step[:3, 3] = (size - 1) / 2 - ratio * (sides - 1) / 2
    return tuple(sides.tolist()), np.asarray(affine, np.float64) @ step


def resample(
    volume: np.ndarray, affine: np.ndarray, spacing_mm: Sequence[float], order: Literal[0, 1, 3] = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Resample a volume to another voxel size; world coordinates are kept.

    Voxels are interpolated without smoothing, as in MONAI's `Spacing` and the solutions. Outside the centres of the
    outermost voxels, their value is repeated.

    Args:
        volume: `(D, H, W)`.
        affine: `(4, 4)` from (slice, row, column) to world millimetres.
        spacing_mm: target voxel size along (slice, row, column), in mm.
        order: 1 is linear, for images; 0 is nearest neighbour, for labels; 3 is cubic, sharper, with overshoots at
            edges.

    Returns:
        The volume in its own type (integers are rounded), and its affine. If nothing changes, the volume itself.
    """
    if volume.ndim != 3:
        raise ValueError(f"volume is {volume.shape}, expected (D, H, W)")
    sides, moved = resampled_grid(volume.shape, affine, spacing_mm)
    if sides == volume.shape and np.allclose(moved, affine, rtol=0, atol=1e-6):
        return volume, moved
    return resample_onto(volume, affine, sides, moved, order), moved


def resample_onto(
    volume: np.ndarray,
    affine: np.ndarray,
    sides: Sequence[int],
    onto: np.ndarray,
    order: Literal[0, 1, 3] = 1,
) -> np.ndarray:
    """Resample a volume to another grid with the same axes, for example predictions to the voxels of the file.

    Args:
        volume: `(D, H, W)`.
        affine: affine of the volume.
        sides: size of the target grid.
        onto: affine of the target grid.
        order: interpolation order, as in `resample`.

    Raises:
        ValueError: if the grids have different orientations.
    """
    from scipy.ndimage import affine_transform

    step = np.linalg.solve(np.asarray(affine, np.float64), np.asarray(onto, np.float64))
    scale = np.diagonal(step)[:3]
    if np.abs(step[:3, :3] - np.diag(scale)).max() > 1e-3 * np.abs(scale).max() or (scale <= 0).any():
        raise ValueError(
            "the grids have different orientations; reorient the volume first (preprocessing.orientation.reorient)"
        )
    kind = volume.dtype
    if kind in (np.bool_, np.float16):  # not supported by scipy
        volume = volume.astype(np.uint8 if kind.kind == "b" else np.float32)

    # scipy rounds integers.
    sides = tuple(int(side) for side in sides)
    found = affine_transform(volume, scale.copy(), step[:3, 3], output_shape=sides, order=order, mode="nearest")
    return found.astype(kind, copy=False)
