"""Windows along the edges of a mask, and nowhere else."""

from itertools import product

import cv2
import numpy as np


def edge_pixels(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask `(H, W)` that touch its outside, in the order in which its outlines run, `(n, 2)` rows, columns.

    Pixels at the image's own border are no edge where the mask goes on to it.
    """
    filled = np.ascontiguousarray(mask).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(filled, cross, borderType=cv2.BORDER_REPLICATE)
    contours = cv2.findContours(filled, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    if not contours:
        return np.empty((0, 2), np.int64)
    points = np.concatenate([contour[:, 0, ::-1] for contour in contours]).astype(np.int64)
    # `findContours` walks along holes outside the mask, and along the image's border too
    points = points[(filled - inner)[points[:, 0], points[:, 1]] > 0]
    missing = (filled - inner) > 0
    missing[points[:, 0], points[:, 1]] = False
    return np.concatenate([points, np.argwhere(missing)])


def edge_patches(mask: np.ndarray, size: int, min_cover: int = 2, beyond: bool = False) -> np.ndarray:
    """Windows such that every edge pixel of a mask lies in `min_cover` different ones, and none is without an edge.

    Carvana 2017, 11th place: tiles of 256 pixels along the edge of the coarse stage's mask, overlapping so that each of
    its pixels is seen at least twice. The outlines are walked once per cover, each time beginning elsewhere; a window
    is laid around as long a piece as it can hold of what the walk's windows do not hold yet.

    Args:
        mask: `(H, W)` bool.
        size: side of a window; along an axis that is shorter it takes all there is.
        min_cover: least number of windows over an edge pixel, as far as there are so many different ones: within the
            image, the pixel in its corner has one, and so has an image that fits into a window.
        beyond: let windows hang over the image's border where there are too few within it.

    Returns:
        `(n, 4)` int64: top, left, height, width; top and left may be negative with `beyond`.
    """
    if size < 1 or min_cover < 1:
        raise ValueError(f"edge_patches: size is {size} and min_cover {min_cover}, expected 1 or more each")
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
            if first is None:  # this pixel alone has all its windows: those it shared them with may have others
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
    """A window near `first` that holds the point and was not chosen yet, `None` where there is none."""
    if tuple(first.tolist()) not in chosen:
        return first
    low, high = point - lengths + 1, point
    within = [range(max(0, low[axis]), min(high[axis], places[axis] - 1) + 1) for axis in (0, 1)]
    everywhere = [range(low[axis], high[axis] + 1) for axis in (0, 1)]
    for rows, columns in (within, everywhere) if beyond else (within,):
        # away by a quarter of a window where that is possible, so that a pixel is seen in another context
        rows, columns = (
            sorted(axis, key=lambda place: abs(abs(place - own) - length // 4))
            for axis, own, length in zip((rows, columns), first.tolist(), lengths.tolist(), strict=True)
        )
        for row, column in product(rows, columns):
            if (row, column) not in chosen:
                return np.array([row, column])
    return None
