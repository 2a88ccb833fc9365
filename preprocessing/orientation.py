"""The direction of volumes and pictures: one for all, by flips and transpositions alone, so that no value changes.

Volumes are `(D, H, W)` = (slice, row, column); their affine `(4, 4)` maps these indices to world millimetres in RAS.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

LETTERS = "RLAPSI"  # in pairs per world axis: the direction in which its coordinate rises, then the other


class Orientation(NamedTuple):
    """How an array was turned, and the way back; both on the last three axes, so that channels may stand before them.

    Attributes:
        axes: axis of the original that each axis of the result is.
        flipped: whether that axis of the result runs backwards.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The turned array `(..., D', H', W')` of `(..., D, H, W)`; a view."""
        lead = array.ndim - 3
        return self._flip(array.transpose(*range(lead), *(lead + axis for axis in self.axes)))

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The exact inverse of `apply`: predictions in the direction of the file; a view."""
        lead = array.ndim - 3
        back = np.argsort(self.axes)
        return self._flip(array).transpose(*range(lead), *(lead + int(axis) for axis in back))

    def sides(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        """Size of the result for a volume of this size."""
        return tuple(size[axis] for axis in self.axes)

    def affine(self, affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
        """Affine of the result, for the affine and size of the original."""
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (old, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            step[old, new] = -1 if flip else 1
            step[old, 3] = size[old] - 1 if flip else 0
        return affine @ step

    def _flip(self, array: np.ndarray) -> np.ndarray:
        return array[(..., *(slice(None, None, -1 if flip else None) for flip in self.flipped))]


def axis_codes(affine: np.ndarray) -> str:
    """Where a volume's columns, rows and slices run to, nearest to the axes of the body: `LPS`, `RAS`.

    Args:
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.

    Returns:
        Three letters, in the order (column, row, slice), which is the file's (x, y, z): R or L (the patient's right or
        left), A or P (front or back), S or I (up or down). So the letters say the same here as in nibabel, MONAI and
        ITK-SNAP, whose arrays have x first. `LPS` is how axial slices lie in DICOM files and on a radiologist's screen.

    Raises:
        ValueError: an affine that is no affine of a volume.
    """
    worlds, signs = _nearest(affine)
    letters = [LETTERS[2 * world + (sign < 0)] for world, sign in zip(worlds, signs, strict=True)]
    return "".join(letters[::-1])


def orientation_to(affine: np.ndarray, axcodes: str) -> Orientation:
    """What turns a volume so that its codes are `axcodes` (see `axis_codes`)."""
    worlds, signs = _nearest(affine)
    wanted = _wanted(axcodes)
    axes = tuple(worlds.index(world) for world, _ in wanted)
    return Orientation(axes, tuple(signs[axis] != sign for axis, (_, sign) in zip(axes, wanted, strict=True)))


def reorient(volume: np.ndarray, affine: np.ndarray, axcodes: str) -> tuple[np.ndarray, np.ndarray, Orientation]:
    """A volume in the direction of `axcodes`, by flips and transpositions: every voxel keeps its place in the world.

    Args:
        volume: `(D, H, W)`.
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.
        axcodes: where columns, rows and slices shall run to; see `axis_codes`.

    Returns:
        The volume (contiguous), its affine, and the orientation whose `undo` brings predictions back.

    Raises:
        ValueError: no three axes, no codes, or an affine that is none.
    """
    if volume.ndim != 3:
        raise ValueError(f"a volume is (D, H, W), found {volume.shape}")
    turn = orientation_to(affine, axcodes)
    return np.ascontiguousarray(turn.apply(volume)), turn.affine(affine, volume.shape), turn


def upright(image: np.ndarray, tag: int) -> np.ndarray:
    """A picture as its EXIF orientation says it is to be seen.

    Args:
        image: `(H, W)` or `(H, W, C)` as the file stores it.
        tag: EXIF 0x0112, 1 to 8 (TIFF 6.0, "Orientation"): 1 as it is, 2 mirrored, 3 half a turn, 4 upside down,
            5 transposed, 6 a quarter turn clockwise, 7 transposed the other way, 8 a quarter turn counter-clockwise.

    Raises:
        ValueError: another tag.
    """
    if not 1 <= tag <= 8:
        raise ValueError(f"EXIF orientation is {tag}, expected 1 to 8")
    image = image.swapaxes(0, 1) if tag >= 5 else image
    rows, columns = tag in (3, 4, 7, 8), tag in (2, 3, 6, 7)
    return np.ascontiguousarray(image[:: -1 if rows else 1, :: -1 if columns else 1])


def _nearest(affine: np.ndarray) -> tuple[list[int], list[int]]:
    """World axis of each array axis, and whether it runs up (1) or down (−1); a world axis is taken once."""
    affine = np.asarray(affine, np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(f"the affine is {affine.tolist()}, expected (4, 4) of finite numbers with three directions")
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(permutations(range(3)), key=lambda worlds: sum(abs(cosines[worlds[axis], axis]) for axis in range(3)))
    return list(best), [1 if cosines[world, axis] > 0 else -1 for axis, world in enumerate(best)]


def _wanted(axcodes: str) -> list[tuple[int, int]]:
    """World axis and direction of slices, rows and columns, in this order."""
    places = [LETTERS.find(letter) for letter in axcodes[::-1]]
    if len(axcodes) != 3 or min(places) < 0 or len({place // 2 for place in places}) != 3:
        raise ValueError(
            f"axcodes are {axcodes!r}, expected three letters, one each of R or L, A or P, S or I: RAS, LPS, PIR"
        )
    return [(place // 2, -1 if place % 2 else 1) for place in places]
