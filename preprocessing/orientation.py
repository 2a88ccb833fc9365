"""The orientation of volumes and images, changed by flips and transpositions only, so that no value changes.

Volumes are `(D, H, W)` = (slice, row, column); their affine `(4, 4)` maps these indices to world millimetres in RAS.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

LETTERS = "RLAPSI"  # a pair per world axis: the direction of increasing coordinates, then the opposite


class Orientation(NamedTuple):
    """A reorientation of the last three axes of an array, and its inverse; channel axes may precede them.

    Attributes:
        axes: for each axis of the result, the axis of the original.
        flipped: for each axis of the result, whether it is reversed.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Reorient an array `(..., D, H, W)` to `(..., D', H', W')`; returns a view."""
        lead = array.ndim - 3
        return self._flip(array.transpose(*range(lead), *(lead + axis for axis in self.axes)))

    def undo(self, array: np.ndarray) -> np.ndarray:
        """Apply the exact inverse of `apply`, for predictions in the orientation of the file; returns a view."""
        lead = array.ndim - 3
        back = np.argsort(self.axes)
        return self._flip(array).transpose(*range(lead), *(lead + int(axis) for axis in back))

    def sides(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the size of the result for a volume of this size."""
        return tuple(size[axis] for axis in self.axes)

    def affine(self, affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
        """Return the affine of the result, given the affine and size of the original."""
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            step[old, new] = -1 if flip else 1
            step[old, 3] = size[old] - 1 if flip else 0
        return affine @ step

    def _flip(self, array: np.ndarray) -> np.ndarray:
        return array[(..., *(slice(None, None, -1 if flip else None) for flip in self.flipped))]


def axis_codes(affine: np.ndarray) -> str:
    """Return the directions of a volume's columns, rows and slices as the closest axes of the body: `LPS`, `RAS`.

    Args:
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.

    Returns:
        Three letters in the order (column, row, slice), the file's (x, y, z): R or L (the patient's right or left), A
        or P (anterior or posterior), S or I (superior or inferior). The letters have the same meaning as in nibabel,
        MONAI and ITK-SNAP, whose arrays have x first. Axial slices in DICOM files and on a radiologist's screen are
        `LPS`.

    Raises:
        ValueError: if the affine is invalid.
    """
    worlds, signs = _nearest(affine)
    letters = [LETTERS[2 * world + (sign < 0)] for world, sign in zip(worlds, signs, strict=True)]
    return "".join(letters[::-1])


def orientation_to(affine: np.ndarray, axcodes: str) -> Orientation:
    """Return the reorientation of a volume to `axcodes` (see `axis_codes`)."""
    worlds, signs = _nearest(affine)
    wanted = _wanted(axcodes)
    axes = tuple(worlds.index(world) for world, _ in wanted)
    return Orientation(axes, tuple(signs[axis] != sign for axis, (_, sign) in zip(axes, wanted, strict=True)))


def reorient(volume: np.ndarray, affine: np.ndarray, axcodes: str) -> tuple[np.ndarray, np.ndarray, Orientation]:
    """Reorient a volume to `axcodes` by flips and transpositions; every voxel keeps its world coordinates.

    Args:
        volume: `(D, H, W)`.
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.
        axcodes: target directions of columns, rows and slices; see `axis_codes`.

    Returns:
        The volume (contiguous), its affine, and the orientation, whose `undo` maps predictions back.

    Raises:
        ValueError: if the volume does not have three axes, or `axcodes` or the affine are invalid.
    """
    if volume.ndim != 3:
        raise ValueError(f"volume is {volume.shape}, expected (D, H, W)")
    turn = orientation_to(affine, axcodes)
    return np.ascontiguousarray(turn.apply(volume)), turn.affine(affine, volume.shape), turn


def upright(image: np.ndarray, tag: int) -> np.ndarray:
    """Apply the EXIF orientation to an image.

    Args:
        image: `(H, W)` or `(H, W, C)` as stored in the file.
        tag: EXIF 0x0112, 1 to 8 (TIFF 6.0, "Orientation"): 1 unchanged, 2 flipped horizontally, 3 rotated by 180°,
            4 flipped vertically, 5 transposed, 6 rotated by 90° clockwise, 7 transposed along the other diagonal,
            8 rotated by 90° counter-clockwise.

    Raises:
        ValueError: if the tag is not 1 to 8.
    """
    if not 1 <= tag <= 8:
        raise ValueError(f"EXIF orientation is {tag}, expected 1 to 8")
    image = image.swapaxes(0, 1) if tag >= 5 else image
    rows, columns = tag in (3, 4, 7, 8), tag in (2, 3, 6, 7)
    return np.ascontiguousarray(image[:: -1 if rows else 1, :: -1 if columns else 1])


def _nearest(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the world axis of each array axis, each used once, and its direction, 1 or −1."""
    affine = np.asarray(affine, np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(
            f"affine is {affine.tolist()}, expected (4, 4) finite numbers with three independent directions"
        )
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(permutations(range(3)), key=lambda worlds: sum(abs(cosines[worlds[axis], axis]) for axis in range(3)))
    return list(best), [1 if cosines[world, axis] > 0 else -1 for axis, world in enumerate(best)]


def _wanted(axcodes: str) -> list[tuple[int, int]]:
    """Return world axis and direction of slices, rows and columns, in this order."""
    places = [LETTERS.find(letter) for letter in axcodes[::-1]]
    if len(axcodes) != 3 or min(places) < 0 or len({place // 2 for place in places}) != 3:
        raise ValueError(
            f"axcodes are {axcodes!r}, expected three letters, one each of R or L, A or P, S or I: RAS, LPS, PIR"
        )
    return [(place // 2, -1 if place % 2 else 1) for place in places]
