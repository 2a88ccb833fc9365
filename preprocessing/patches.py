"""Windows of patches in an image: random, balanced by foreground, or on a grid.

Windows are tuples of first pixels, then lengths: `(top, left, height, width)` in 2-D, `(front, top, left, depth,
height, width)` in 3-D, the format of `datamodules.windows` and the readers. A window is always inside the image: along
an axis that is shorter than the patch, it is the whole axis.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

Window = tuple[int, ...]


def random_patches(size: Sequence[int], patch: int | Sequence[int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw windows from a uniform distribution over an image.

    Args:
        size: size of the image, `(H, W)` or `(D, H, W)`.
        patch: side of the patch in pixels, or a length per axis.
        count: number of windows.
        rng: random generator.

    Returns:
        `(count, 2 * axes)` int64.
    """
    size, lengths = _checked(size, patch)
    firsts = rng.integers(0, size - lengths + 1, size=(count, len(size)))
    return np.concatenate([firsts, np.broadcast_to(lengths, firsts.shape)], axis=1)


def balanced_patches(
    size: Sequence[int],
    patch: int | Sequence[int],
    count: int,
    places: np.ndarray,
    rng: np.random.Generator,
    pos_ratio: float = 0.5,
    cell: int = 1,
    tries: int = 100,
) -> np.ndarray:
    """Draw windows with a given share of positive windows, which contain foreground.

    A window is positive with probability `pos_ratio`. Positive windows are placed around a random foreground position,
    with a random offset so that objects are not always centred. Negative windows are drawn from the whole image until
    one has no foreground.

    Args:
        size: size of the image, `(H, W)` or `(D, H, W)`.
        patch: side of the patch in pixels, or a length per axis.
        count: number of windows.
        places: foreground, as a mask of the image's size or integer positions `(n, axes)`. Without foreground, all
            windows are negative.
        rng: random generator.
        pos_ratio: share of positive windows, 0 … 1.
        cell: side of the square that a position stands for, in pixels: 1 for pixels; 32 for squares of 32 pixels with
            foreground, with positions in squares (`coarse_places`). A positive window then contains a complete square
            (up to the image border, and if the patch is large enough), a negative window intersects none.
        tries: maximum number of draws of a negative window; then the one with the least foreground is returned.

    Returns:
        `(count, 2 * axes)` int64.

    Raises:
        ValueError: if a mask has another size, a position is outside the image, or `pos_ratio` is outside 0 … 1.
    """
    size, lengths = _checked(size, patch)
    if not 0 <= pos_ratio <= 1:
        raise ValueError(f"pos_ratio is {pos_ratio}, expected a share in 0 … 1")
    places = _positions(places, size, cell)
    positive = rng.random(count) < pos_ratio if len(places) else np.zeros(count, bool)
    windows = random_patches(size, lengths, count, rng)
    if positive.any():
        chosen = places[rng.integers(len(places), size=int(positive.sum()))] * cell
        ends = np.minimum(chosen + cell, size)
        # The range of window starts that contain the place, inside the image.
        lowest, highest = np.maximum(0, ends - lengths), np.minimum(chosen, size - lengths)
        lowest, highest = np.minimum(lowest, highest), np.maximum(lowest, highest)
        windows[positive, : len(size)] = rng.integers(lowest, highest + 1)
    if len(places) and not positive.all():
        _without_foreground(windows, np.flatnonzero(~positive), places, size, lengths, rng, cell, tries)
    return windows


def grid_patches(size: Sequence[int], patch: int | Sequence[int], overlap: float = 0.0) -> list[Window]:
    """Return windows that cover the image, in reading order; the last one of each axis is moved inside the image.

    Args:
        size: size of the image, `(H, W)` or `(D, H, W)`.
        patch: side of the patch in pixels, or a length per axis.
        overlap: minimum overlap of neighbouring windows, as a share of the patch in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}, expected a share in [0, 1)")
    size, lengths = _checked(size, patch)
    steps = np.maximum(1, np.floor(lengths * (1 - overlap))).astype(np.int64)
    lasts = size - lengths
    axes = [[*range(0, last, step), last] for last, step in zip(lasts.tolist(), steps.tolist(), strict=True)]
    return [(*firsts, *lengths.tolist()) for firsts in product(*axes)]


def coarse_places(mask: np.ndarray, cell: int = 32) -> np.ndarray:
    """Return positions `(n, axes)`, in units of `cell`, of the squares (cubes) of side `cell` with foreground.

    Cells of 32 need a thousandth of the memory of pixels, so positions of all images can be kept.
    """
    padded = np.pad(mask != 0, [(0, -side % cell) for side in mask.shape])
    shape = [part for side in padded.shape for part in (side // cell, cell)]
    return np.argwhere(padded.reshape(shape).any(axis=tuple(range(1, 2 * mask.ndim, 2))))


def _without_foreground(
    windows: np.ndarray,
    numbers: np.ndarray,
    places: np.ndarray,
    size: np.ndarray,
    lengths: np.ndarray,
    rng: np.random.Generator,
    cell: int,
    tries: int,
) -> None:
    """Redraw the given windows in place until they contain no foreground."""
    # With a summed-area table, counting the foreground of a window takes a few additions.
    cells = np.zeros(-(-size // cell) + 1, np.int32)
    np.add.at(cells, tuple(places.T + 1), 1)
    for axis in range(len(size)):
        np.cumsum(cells, axis=axis, out=cells)
    best = _filled(cells, windows[numbers], cell)
    for _ in range(tries):
        left = np.flatnonzero(best)
        if not len(left):
            return
        drawn = random_patches(size, lengths, len(left), rng)
        filled = _filled(cells, drawn, cell)
        better = filled < best[left]
        windows[numbers[left[better]]] = drawn[better]
        best[left[better]] = filled[better]


def _filled(sums: np.ndarray, windows: np.ndarray, cell: int) -> np.ndarray:
    """Return the number of foreground cells that each window intersects."""
    axes = windows.shape[1] // 2
    low = windows[:, :axes] // cell
    high = -(-(windows[:, :axes] + windows[:, axes:]) // cell)
    total = np.zeros(len(windows), np.int64)
    for corner in product((0, 1), repeat=axes):
        sign = (-1) ** (axes - sum(corner))
        total += sign * sums[tuple(np.where(np.array(corner), high, low).T)]
    return total


def _positions(places: np.ndarray, size: np.ndarray, cell: int) -> np.ndarray:
    places = np.asarray(places)
    if places.shape == tuple(size) and (places.dtype == bool or places.shape[-1:] != (len(size),)):
        if cell != 1:
            raise ValueError(f"cell is {cell}, expected 1 for a mask; use coarse_places for larger cells")
        return np.argwhere(places)
    if places.ndim != 2 or places.shape[1] != len(size) or not np.issubdtype(places.dtype, np.integer):
        raise ValueError(
            f"places are {places.dtype} {places.shape}, expected a mask {tuple(size.tolist())} or integers "
            f"(n, {len(size)})"
        )
    if len(places) and (places.min() < 0 or (places * cell >= size).any()):
        outside = places[((places < 0) | (places * cell >= size)).any(1)][0].tolist()
        raise ValueError(f"place {outside} (cells of {cell} pixels) is outside the image {tuple(size.tolist())}")
    return places.astype(np.int64)


def _checked(size: Sequence[int], patch: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return image size and patch lengths as arrays; the patch is limited to the image."""
    size = np.asarray(size, np.int64)
    patch = np.asarray([patch] * len(size) if np.ndim(patch) == 0 else patch, np.int64)
    if patch.shape != size.shape or (patch < 1).any() or (size < 1).any():
        raise ValueError(
            f"patch is {patch.tolist()} for an image of {size.tolist()}; expected one length per axis, >= 1"
        )
    return size, np.minimum(patch, size)
