"""Windows along the edges of a mask."""

from itertools import product

import cv2
import numpy as np


def edge_pixels(mask: np.ndarray) -> np.ndarray:
    """Return the edge pixels of a mask `(H, W)`, in the order of its outlines, as rows and columns `(n, 2)`.

    Where the mask touches the image border, the border is not an edge.
    """
    filled = np.ascontiguousarray(mask).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(filled, cross, borderType=cv2.BORDER_REPLICATE)
    contours = cv2.findContours(filled, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    if not contours:
        return np.empty((0, 2), np.int64)
    points = np.concatenate([contour[:, 0, ::-1] for contour in contours]).astype(np.int64)
    # `findContours` also follows holes outside the mask, and the image border
    points = points[(filled - inner)[points[:, 0], points[:, 1]] > 0]
    missing = (filled - inner) > 0
    missing[points[:, 0], points[:, 1]] = False
    return np.concatenate([points, np.argwhere(missing)])


def edge_patches(mask: np.ndarray, size: int, min_cover: int = 2, beyond: bool = False) -> np.ndarray:
    """Return windows that cover every edge pixel of a mask `min_cover` times; each contains an edge.

    Carvana 2017, 11th place: tiles of 256 pixels along the edge of the coarse stage's mask, overlapping so that each
    edge pixel is covered at least twice. The outlines are traversed once per cover, each time from another start; each
    window is placed around the longest uncovered piece of the outline that fits.

    Args:
        mask: `(H, W)` bool.
        size: side of a window in pixels; limited to the image size along each axis.
        min_cover: minimum number of different windows over an edge pixel, if the image has that many: a pixel in the
            image's corner has one, and so has an image that fits into a window.
        beyond: allow windows across the image border if there are too few inside.

    Returns:
        `(n, 4)` int64: top, left, height, width; top and left may be negative with `beyond`.
    """
    if size < 1 or min_cover < 1:
        raise ValueError(f"edge_patches: size is {size} and min_cover is {min_cover}, both must be >= 1")
    points = edge_pixels(mask)
    lengths = np.minimum(size, mask.shape)
    places = np.array(mask.shape) - lengths + 1
    chosen: dict[tuple[int, int], None] = {}
    for cover in range(min_cover if len(points) else 0):
        open_ = np.roll(points, -(cover * size) // (2 * min_cover) if cover else 0, axis=0)
        while len(open_):
            ahead = open_[: 2 * int(lengths.sum())]
            low, high = np.minimum.accumulate(ahead), np.maximum.accumulate(ahead)
            last = int((high - low < lengths).all(1).sum()) - 1
            first = np.clip((low[last] + high[last] + 1) // 2 - lengths // 2, 0, places - 1)
            first = _another(first, open_[0], lengths, places, chosen, beyond)
            if first is None:  # all windows of this pixel are used, but the next pixels may have others
                open_ = open_[1:]
                continue
            chosen[int(first[0]), int(first[1])] = None
            open_ = open_[((open_ < first) | (open_ >= first + lengths)).any(1)]
    return np.array([(*first, *lengths) for first in chosen], np.int64).reshape(-1, 4)


def _another(
    first: np.ndarray,
    point: np.ndarray,
    lengths: np.ndarray,
    places: np.ndarray,
    chosen: dict[tuple[int, int], None],
    beyond: bool,
) -> np.ndarray | None:
    """Return a window near `first` that contains the point and is not in `chosen`; None if there is none."""
    if tuple(first.tolist()) not in chosen:
        return first
    low, high = point - lengths + 1, point
    within = [range(max(0, low[axis]), min(high[axis], places[axis] - 1) + 1) for axis in (0, 1)]
    everywhere = [range(low[axis], high[axis] + 1) for axis in (0, 1)]
    for rows, columns in (within, everywhere) if beyond else (within,):
        # if possible a quarter of a window away, so that the pixel has another context
        rows, columns = (
            sorted(axis, key=lambda place: abs(abs(place - own) - length // 4))
            for axis, own, length in zip((rows, columns), first.tolist(), lengths.tolist(), strict=True)
        )
        for row, column in product(rows, columns):
            if (row, column) not in chosen:
                return np.array([row, column])
    return None
