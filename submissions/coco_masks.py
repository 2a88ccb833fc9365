"""Masks of COCO files as runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from annotations.coco_segmentations import compact, has_area, parts_of, run_lengths
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
    if segmentation is None:
        raise ValueError(f"{what} has no segmentation, expected run lengths or polygons")
    given, runs = compact(segmentation), np.zeros((2, 0), np.int64)
    if has_area(given, what):
        is_polygons = isinstance(given, tuple)
        runs = _union(parts_of(given, size, what)[0], size) if is_polygons else run_lengths(given, size, what)
    if not runs.shape[1]:
        raise ValueError(f"the mask of {what} is empty")
    return runs


def _union(rings: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Runs of the union of polygons, by COCO's own rule."""
    mask = np.zeros(size, np.uint8)
    for patch in coco_patches(rings, size):
        if patch is not None:
            height, width = patch.mask.shape
            mask[patch.top : patch.top + height, patch.left : patch.left + width] |= patch.mask
    found = runs_of(mask)
    return found[0] if found else np.zeros((2, 0), np.int64)
