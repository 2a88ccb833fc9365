"""Masks of COCO files as runs."""

from typing import Any

import numpy as np

from masks import coco_rle
from masks.coco_polygons import coco_patches
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
        runs = _runs_of_polygons(segmentation, size)
    elif isinstance(segmentation, dict) and {"size", "counts"} <= set(segmentation):
        if list(segmentation["size"]) != list(size):
            raise ValueError(f"the mask of {what} is {segmentation['size']}, expected {list(size)} as its image")
        counts, pixels = segmentation["counts"], size[0] * size[1]
        if isinstance(counts, str):
            runs = coco_rle.decode(counts.encode(), pixels)
        else:
            runs = coco_rle.runs_of_counts(counts, pixels)
    else:
        raise ValueError(f"segmentation of {what} is {str(segmentation)[:40]}, expected run lengths or polygons")
    if not runs.shape[1]:
        raise ValueError(f"the mask of {what} is empty")
    return runs


def _runs_of_polygons(polygons: list[Any], size: tuple[int, int]) -> np.ndarray:
    """Runs of the union of polygons, by COCO's own rule."""
    rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in polygons]
    mask = np.zeros(size, np.uint8)
    for patch in coco_patches(rings, size):
        if patch is not None:
            height, width = patch.mask.shape
            mask[patch.top : patch.top + height, patch.left : patch.left + width] |= patch.mask
    found = runs_of(mask)
    return found[0] if found else np.zeros((2, 0), np.int64)
