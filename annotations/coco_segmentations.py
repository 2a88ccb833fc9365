"""The `segmentation` of a COCO annotation: polygons, or run lengths of either kind."""

from typing import Any

import numpy as np

from masks import coco_rle
from masks.painting import mask_of_runs
from masks.shapes import Patch

CORNERS = 3  # of a polygon with an area


def compact(segmentation: Any) -> Any:
    """Return polygons as arrays, which take a tenth of the memory; anything else, also if faulty, as it is."""
    if not isinstance(segmentation, list):
        return segmentation
    try:
        rings = tuple(np.array(ring, np.float64) for ring in segmentation)
    except (TypeError, ValueError):
        return segmentation
    return rings if all(ring.ndim == 1 for ring in rings) else segmentation


def has_area(segmentation: Any, where: str) -> bool:
    """Return whether a segmentation has run lengths, or a polygon of three corners.

    Args:
        segmentation: value of the file; polygons as a tuple of arrays (`compact`).
        where: file and annotation, for messages.

    Raises:
        ValueError: if it is neither polygons nor run lengths.
    """
    if segmentation is None:
        return False
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        sides = isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size)
        if not sides or not isinstance(counts, str | list):
            raise ValueError(
                f"{where}: segmentation has keys {sorted(segmentation)}, expected polygons, or size [H, W] and counts"
            )
        return True
    if not isinstance(segmentation, tuple):
        text = str(segmentation)[:60]
        raise ValueError(f"{where}: segmentation is {text}, expected lists of x, y, x, y, … or run lengths")
    for ring in segmentation:
        if len(ring) % 2:
            raise ValueError(f"{where}: a polygon has {len(ring)} numbers, expected pairs of x and y")
        if not np.isfinite(ring).all():
            raise ValueError(f"{where}: a polygon has the number {ring[~np.isfinite(ring)][0]}, expected finite ones")
    return any(len(ring) >= 2 * CORNERS for ring in segmentation)


def parts_of(segmentation: Any, size: tuple[int, ...], where: str) -> tuple[tuple[np.ndarray, ...], tuple[Patch, ...]]:
    """Return the polygons `(n, 2)` and the pixels of a segmentation accepted by `has_area`.

    Args:
        segmentation: value of the file.
        size: size `(H, W)` of the image.
        where: file and annotation, for messages.

    Raises:
        ValueError: if it belongs to an image of another size, or run lengths are invalid.
    """
    if segmentation is None:
        return (), ()
    if isinstance(segmentation, dict):
        return (), _patches(run_lengths(segmentation, size, where), size[0])
    rings = tuple(ring.reshape(-1, 2) for ring in segmentation if len(ring) >= 2 * CORNERS)
    sides = np.array(size[::-1])
    for ring in rings:
        far = ((ring < -sides) | (ring > 2 * sides)).any(axis=1)
        if far.any():
            raise ValueError(
                f"{where}: corner {ring[far][0].tolist()} (x, y) is far outside of its image, whose size (H, W) is "
                f"{tuple(size)}; do the annotations belong to images of another size?"
            )
    return rings, ()


def run_lengths(segmentation: dict[str, Any], size: tuple[int, ...], where: str) -> np.ndarray:
    """Return the runs `(2, R)` of run lengths accepted by `has_area`, column by column.

    Arguments are those of `parts_of`.

    Raises:
        ValueError: if they belong to an image of another size, or are invalid.
    """
    height, width = segmentation["size"]
    if (height, width) != tuple(size):
        raise ValueError(
            f"{where}: its run lengths have the size (H, W) {(height, width)}, but the image has {tuple(size)}; do "
            "they belong to images of another size?"
        )
    counts, pixels = segmentation["counts"], height * width
    try:
        if isinstance(counts, str):
            return coco_rle.decode(counts.encode(), pixels)
        return coco_rle.runs_of_counts(counts, pixels)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _patches(runs: np.ndarray, height: int) -> tuple[Patch, ...]:
    """Return the columns of an image that runs reach."""
    if not runs.shape[1]:
        return ()
    first, last = int(runs[0, 0]) // height, (int(runs[1, -1]) - 1) // height
    inside = mask_of_runs(runs[0] - first * height, runs[1] - runs[0], (height, last - first + 1), "column")
    return (Patch(0, first, inside),)
