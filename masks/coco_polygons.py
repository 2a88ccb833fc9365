"""COCO polygons as pixels, equal to `pycocotools`, which scores COCO competitions.

Its rule differs from `masks.polygons.filled` by up to a fifth of a pixel: corners are rounded to a grid of a fifth of a
pixel, edges are steps on that grid, and a column of pixels begins and ends where the steps cross its centre. It makes
about one pixel in a hundred of a small object's outline different, and AP at high IoU with it.
"""

from collections.abc import Sequence

import numpy as np

from masks.polygons import expanded
from masks.shapes import Patch

SCALE = 5  # grid lines per pixel
CENTRE = SCALE // 2  # the grid line before the centre of a pixel


def coco_patches(rings: Sequence[np.ndarray], size: tuple[int, int]) -> list[Patch | None]:
    """Pixels of each polygon; None for one without pixels in the image.

    Args:
        rings: corners `(n, 2)` of each polygon as (x, y) in pixels, finite.
        size: size `(H, W)` of the image; parts outside are cut off.
    """
    lengths = np.array([len(ring) for ring in rings], np.int64)
    if not lengths.sum():
        return [None] * len(rings)
    ring, x, y = _steps(rings, lengths)
    crossing = np.flatnonzero((x[1:] != x[:-1]) & (ring[1:] == ring[:-1]))
    low = np.minimum(x[crossing], x[crossing + 1]) - CENTRE
    crossing, low = crossing[low % SCALE == 0], low[low % SCALE == 0]
    column, inside = low // SCALE, (low >= 0) & (low // SCALE < size[1])
    crossing, column = crossing[inside], column[inside]
    row = -((CENTRE - np.minimum(y[crossing], y[crossing + 1])) // SCALE)  # rounded up
    row, owner = np.clip(row, 0, size[0]), ring[crossing]
    borders = np.searchsorted(owner, np.arange(len(rings) + 1))
    pairs = zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
    return [_between(row[first:last], column[first:last]) for first, last in pairs]


def _steps(rings: Sequence[np.ndarray], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of all outlines on the grid, in order: index of the ring, x and y."""
    tail = (np.concatenate(rings) * SCALE + 0.5).astype(np.int64)  # truncated, as in C, not rounded down
    following = np.arange(1, len(tail) + 1)
    ends = np.cumsum(lengths)
    following[(ends - 1)[lengths > 0]] = (ends - lengths)[lengths > 0]
    head, ring = tail[following], np.repeat(np.arange(len(rings)), lengths)
    across, down = np.abs(head - tail).T
    flat = across >= down
    long = np.where(flat, across, down)
    # Steps are computed from the end with the smaller coordinate, whichever way the edge runs.
    back = np.where(flat, tail[:, 0] > head[:, 0], tail[:, 1] > head[:, 1])
    start, end = np.where(back[:, None], head, tail), np.where(back[:, None], tail, head)
    rise = np.where(flat, end[:, 1] - start[:, 1], end[:, 0] - start[:, 0]) / np.maximum(long, 1)
    edge, step = expanded(np.zeros(len(long), np.int64), long + 1)
    step = np.where(back[edge], long[edge] - step, step)
    along = step + np.where(flat, start[:, 0], start[:, 1])[edge]
    other = (np.where(flat, start[:, 1], start[:, 0])[edge] + rise[edge] * step + 0.5).astype(np.int64)
    return ring[edge], np.where(flat[edge], along, other), np.where(flat[edge], other, along)


def _between(rows: np.ndarray, columns: np.ndarray) -> Patch | None:
    """Pixels below an odd number of crossings of their column."""
    if not len(rows):
        return None
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - top, int(columns.max()) - left + 1
    flips = np.bincount((columns - left) * (height + 1) + rows - top, minlength=width * (height + 1))
    inside = np.cumsum(flips.reshape(width, height + 1), axis=1) % 2 == 1
    return Patch(top, left, np.ascontiguousarray(inside[:, :-1].T)) if height else None
