"""Where to cut patches from an image: at random, where there is foreground, on a grid.

Windows are tuples of all first pixels, then all lengths: `(top, left, height, width)` in 2-D, `(front, top, left,
depth, height, width)` in 3-D; `datamodules.windows` and the readers take them as they are. A window never leaves the
image: an image smaller than the patch gives all it has along that axis.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

Window = tuple[int, ...]


def random_patches(
    size: Sequence[int], patch: int | Sequence[int], count: int, random: np.random.Generator
) -> np.ndarray:
    """Windows anywhere in an image, each place equally likely.

    Args:
        size: of the image: `(H, W)` or `(D, H, W)`.
        patch: side of the patch, or a length per axis.
        count: how many.
        random: decides; equal states give equal patches.

    Returns:
        `(count, 2 * axes)` int64.
    """
    size, lengths = _checked(size, patch)
    firsts = random.integers(0, size - lengths + 1, size=(count, len(size)))
    return np.concatenate([firsts, np.broadcast_to(lengths, firsts.shape)], axis=1)


def balanced_patches(
    size: Sequence[int],
    patch: int | Sequence[int],
    count: int,
    places: np.ndarray,
    random: np.random.Generator,
    pos_ratio: float = 0.5,
    cell: int = 1,
    tries: int = 100,
) -> np.ndarray:
    """Windows of which a share of `pos_ratio` contains foreground and the others contain none.

    Each window is drawn as positive with probability `pos_ratio`: around a place of the foreground, moved at random as
    far as it still contains it, so that objects are not always in the middle. The others are drawn anywhere until one
    is without foreground.

    Args:
        size: of the image: `(H, W)` or `(D, H, W)`.
        patch: side of the patch, or a length per axis.
        count: how many.
        places: where foreground is: a mask of the image's size, or `(n, axes)` integer positions. An image without
            foreground gives negative windows only.
        random: decides; equal states give equal patches.
        pos_ratio: share of windows with foreground, 0 … 1; 1 for `positive` windows only.
        cell: side of what a position stands for: 1 for pixels; 32 for squares of 32 pixels in each of which foreground
            was seen, counted in squares (`coarse_places`). A positive window then contains such a square whole (up to
            the image's edge, and where the patch is large enough), a negative one touches none.
        tries: draws of a negative window before the image is taken to have none; the one with the least foreground
            is returned then.

    Returns:
        `(count, 2 * axes)` int64.

    Raises:
        ValueError: a mask of another size, positions outside the image, a share outside 0 … 1.
    """
    size, lengths = _checked(size, patch)
    if not 0 <= pos_ratio <= 1:
        raise ValueError(f"pos_ratio is {pos_ratio}, expected a share in 0 … 1")
    places = _positions(places, size, cell)
    positive = random.random(count) < pos_ratio if len(places) else np.zeros(count, bool)
    windows = random_patches(size, lengths, count, random)
    if positive.any():
        chosen = places[random.integers(len(places), size=int(positive.sum()))] * cell
        ends = np.minimum(chosen + cell, size)
        # From where the window ends with the place to where it begins with it, both inside the image.
        lowest, highest = np.maximum(0, ends - lengths), np.minimum(chosen, size - lengths)
        lowest, highest = np.minimum(lowest, highest), np.maximum(lowest, highest)
        windows[positive, : len(size)] = random.integers(lowest, highest + 1)
    if len(places) and not positive.all():
        _without_foreground(windows, np.flatnonzero(~positive), places, size, lengths, random, cell, tries)
    return windows


def grid_patches(size: Sequence[int], patch: int | Sequence[int], overlap: float = 0.0) -> list[Window]:
    """Windows that together cover the image, in reading order; the last of each axis is moved inside the edge.

    Args:
        size: of the image: `(H, W)` or `(D, H, W)`.
        patch: side of the patch, or a length per axis.
        overlap: smallest share of a patch in [0, 1) that it has in common with the next.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}, expected a share in [0, 1)")
    size, lengths = _checked(size, patch)
    steps = np.maximum(1, np.floor(lengths * (1 - overlap))).astype(np.int64)
    lasts = size - lengths
    axes = [[*range(0, last, step), last] for last, step in zip(lasts.tolist(), steps.tolist(), strict=True)]
    return [(*firsts, *lengths.tolist()) for firsts in product(*axes)]


def coarse_places(mask: np.ndarray, cell: int = 32) -> np.ndarray:
    """Positions `(n, axes)` of the squares (cubes) of side `cell` in which a mask has foreground, in squares.

    A thousandth of the pixels for cells of 32, so that those of all images stay in memory.
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
    random: np.random.Generator,
    cell: int,
    tries: int,
) -> None:
    """Draw those windows anew, in place, until they hold no foreground."""
    # Sums over all that lies before a corner give the foreground of any window in a few additions.
    cells = np.zeros(-(-size // cell) + 1, np.int32)
    np.add.at(cells, tuple(places.T + 1), 1)
    for axis in range(len(size)):
        np.cumsum(cells, axis=axis, out=cells)
    best = _filled(cells, windows[numbers], cell)
    for _ in range(tries):
        left = np.flatnonzero(best)
        if not len(left):
            return
        drawn = random_patches(size, lengths, len(left), random)
        filled = _filled(cells, drawn, cell)
        better = filled < best[left]
        windows[numbers[left[better]]] = drawn[better]
        best[left[better]] = filled[better]


def _filled(sums: np.ndarray, windows: np.ndarray, cell: int) -> np.ndarray:
    """How many foreground cells each window touches."""
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
            raise ValueError(f"a mask has a position per pixel: cell is {cell}, expected 1; or use coarse_places")
        return np.argwhere(places)
    if places.ndim != 2 or places.shape[1] != len(size) or not np.issubdtype(places.dtype, np.integer):
        raise ValueError(
            f"places are {places.dtype} {places.shape}, expected a mask {tuple(size.tolist())} or integers "
            f"(n, {len(size)})"
        )
    if len(places) and (places.min() < 0 or (places * cell >= size).any()):
        outside = places[((places < 0) | (places * cell >= size)).any(1)][0].tolist()
        raise ValueError(f"place {outside} (cells of {cell} pixels) lies outside the image {tuple(size.tolist())}")
    return places.astype(np.int64)


def _checked(size: Sequence[int], patch: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Image size and patch lengths as arrays; the patch is at most the image."""
    size = np.asarray(size, np.int64)
    patch = np.asarray([patch] * len(size) if np.ndim(patch) == 0 else patch, np.int64)
    if patch.shape != size.shape or (patch < 1).any() or (size < 1).any():
        raise ValueError(f"patch {patch.tolist()} of an image {size.tolist()}; expected as many lengths, 1 or more")
    return size, np.minimum(patch, size)
