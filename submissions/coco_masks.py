"""Masks of COCO files as runs."""

from typing import Any

import numpy as np

from masks import coco_rle
from masks.polygons import filled
from masks.run_length_masks import runs_of


def runs_of_segmentation(segmentation: Any, size: tuple[int, int], what: str) -> np.ndarray:
    """Runs `(2, R)` of a segmentation, column by column; see `masks.run_length_masks`.

    Args:
        segmentation: compressed or uncompressed run lengths `{"size": [H, W], "counts": …}`, or a list of polygons
            `[x, y, x, y, …]`.
        size: `(H, W)` of the image.
        what: name of the annotation, for messages.

    Raises:
        ValueError: anything else, another size, or an empty mask.
    """
    if isinstance(segmentation, list):
        rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation]
        found = runs_of((filled(rings, size, range(1, len(rings) + 1)) > 0).astype(np.uint8))  # parts may overlap
        runs = found[0] if found else np.zeros((2, 0), np.int64)
    elif isinstance(segmentation, dict) and {"size", "counts"} <= set(segmentation):
        if list(segmentation["size"]) != list(size):
            raise ValueError(f"the mask of {what} is {segmentation['size']}, expected {list(size)} as its image")
        runs = _runs(segmentation["counts"], size[0] * size[1], what)
    else:
        raise ValueError(f"segmentation of {what} is {str(segmentation)[:40]}, expected run lengths or polygons")
    if not runs.shape[1]:
        raise ValueError(f"the mask of {what} is empty")
    return runs


def _runs(counts: Any, pixels: int, what: str) -> np.ndarray:
    if isinstance(counts, str):
        return coco_rle.decode(counts.encode(), pixels)
    borders = np.cumsum(np.asarray(counts, np.int64))
    if len(borders) and (min(counts) < 0 or borders[-1] != pixels):
        raise ValueError(f"the run lengths of {what} cover {borders[-1]} pixels, expected {pixels} as in the image")
    ends = borders[1::2]
    runs = np.stack([borders[::2][: len(ends)], ends])
    return runs[:, runs[1] > runs[0]]
