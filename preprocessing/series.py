"""The geometry of a stack of slices: order, spacing, gaps, affine."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PARALLEL = 1e-3  # tolerance of direction cosines within a series; files round to 6 digits or fewer
SAME_PLACE = 1e-3  # mm; slices closer than this are at the same position
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


class Gap(NamedTuple):
    """Two successive slices whose distance differs from the slice step."""

    after: int  # index of the slice before the gap, in sorted order
    distance: float  # mm
    step: float  # mm, the median distance
    missing: int  # number of missing slices; 0 if the gap is not a multiple of the step

    def __str__(self) -> str:
        what = f"{self.missing} slices seem to be missing" if self.missing else "the gap is uneven"
        return f"after slice {self.after}: {self.distance:.4g} mm instead of {self.step:.4g} mm, {what}"


def slice_normal(orientation: Sequence[float]) -> np.ndarray:
    """Return the unit normal `(3,)` of slices, from the six numbers of ImageOrientationPatient.

    Raises:
        ValueError: if the numbers are not two orthogonal unit vectors.
    """
    cosines = np.asarray(orientation, np.float64)
    if cosines.shape != (6,) or not np.isfinite(cosines).all():
        raise ValueError(f"ImageOrientationPatient is {list(orientation)}, expected 6 numbers")
    row, column = cosines[:3], cosines[3:]
    if max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column)) > 0.01:
        raise ValueError(f"ImageOrientationPatient is {list(orientation)}, expected two orthogonal unit vectors")
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def slice_places(positions: np.ndarray, orientation: Sequence[float]) -> np.ndarray:
    """Return positions `(N,)` of slices along their normal, in mm.

    InstanceNumber is not used: it can decrease with z, repeat, or be missing.

    Args:
        positions: ImagePositionPatient `(N, 3)`, mm.
        orientation: ImageOrientationPatient, six numbers.
    """
    return np.asarray(positions, np.float64).reshape(-1, 3) @ slice_normal(orientation)


def common_orientation(orientations: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the common orientation `(6,)` of all slices.

    Raises:
        ValueError: if a slice has another orientation than the first (a scout in the series); names the slice.
    """
    cosines = np.asarray(orientations, np.float64).reshape(-1, 6)
    turned = np.abs(cosines - cosines[0]).max(axis=1) > PARALLEL
    if turned.any():
        index = int(turned.argmax())
        raise ValueError(
            f"slice {index} has orientation {cosines[index].tolist()}, expected {cosines[0].tolist()} as slice 0"
        )
    return cosines[0]


def orientation_groups(orientations: Sequence[Sequence[float]]) -> np.ndarray:
    """Number the orientations of slices from 0, in order of appearance, `(N,)`.

    Args:
        orientations: ImageOrientationPatient of the slices `(N, 6)`, compared as in `common_orientation`.
    """
    cosines = np.asarray(orientations, np.float64).reshape(-1, 6)
    groups = np.full(len(cosines), -1)
    while (groups < 0).any():
        first = int((groups < 0).argmax())
        same = np.abs(cosines - cosines[first]).max(axis=1) <= PARALLEL
        groups[same & (groups < 0)] = groups.max() + 1
    return groups


def on_each_other(places: np.ndarray) -> tuple[int, int] | None:
    """Return the indices of two slices at the same position; None if all positions differ.

    Args:
        places: positions along the normal `(N,)`, in any order, mm.
    """
    order = np.argsort(places, kind="stable")
    steps = np.diff(np.asarray(places)[order])
    if not len(steps) or steps.min() >= SAME_PLACE:
        return None
    at = int(steps.argmin())
    return int(order[at]), int(order[at + 1])


def voxel_of(point: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Convert DICOM world coordinates (x, y, z in LPS, mm) to array indices (slice, row, column), not rounded.

    Args:
        point: `(3,)` or `(n, 3)`.
        affine: `(4, 4)` from array index to RAS millimetres, as returned by `VolumeReader.grid`.
    """
    shifted = np.asarray(point, np.float64) @ LPS_TO_RAS - affine[:3, 3]
    return np.linalg.solve(affine[:3, :3], shifted.T).T


def gaps(places: np.ndarray, tolerance: float = 0.05) -> list[Gap]:
    """Find distances between sorted slices that differ from the step.

    The step is the median distance; SliceThickness can be larger (overlapping slices) or smaller.

    Args:
        places: positions along the normal, sorted, mm.
        tolerance: tolerated difference, as a share of the step.
    """
    steps = np.diff(places)
    if not len(steps):
        return []
    step = float(np.median(steps))
    found = []
    for index, distance in enumerate(steps.tolist()):
        if abs(distance - step) > tolerance * step:
            times = round(distance / step) if step > 0 else 0
            whole = times >= 2 and abs(distance - times * step) <= tolerance * step
            found.append(Gap(index, distance, step, times - 1 if whole else 0))
    return found


def stack_affine(
    positions: np.ndarray, orientation: Sequence[float], pixel_spacing: Sequence[float], thickness: float = 1.0
) -> np.ndarray:
    """Return the affine `(4, 4)` from voxel (slice, row, column) to world millimetres, in RAS as in NIfTI.

    The step between slices follows from the first and last position, which preserves a tilted gantry.

    Args:
        positions: ImagePositionPatient of the sorted slices `(N, 3)`, mm, in LPS as in DICOM.
        orientation: ImageOrientationPatient.
        pixel_spacing: PixelSpacing: mm between rows, then between columns.
        thickness: thickness of a single slice, mm.
    """
    positions = np.asarray(positions, np.float64).reshape(-1, 3)
    normal, cosines = slice_normal(orientation), np.asarray(orientation, np.float64)
    single = len(positions) == 1
    step = normal * thickness if single else (positions[-1] - positions[0]) / (len(positions) - 1)
    affine = np.eye(4)
    columns = [step, cosines[3:] * float(pixel_spacing[0]), cosines[:3] * float(pixel_spacing[1]), positions[0]]
    affine[:3] = LPS_TO_RAS @ np.stack(columns, axis=1)
    return affine
