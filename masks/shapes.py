"""Annotated objects of an image: polygons and pixels, drawn in the order of the file."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from masks.polygons import filled

Window = tuple[int, ...]  # (top, left, height, width) in the image


class Patch(NamedTuple):
    """Pixels of an object.

    Attributes:
        top: row of the first pixel of `mask` in the image.
        left: its column.
        mask: bool `(h, w)`.
    """

    top: int
    left: int
    mask: np.ndarray


class Shape(NamedTuple):
    """An object: the union of its rings, or of its patches.

    Attributes:
        label: class number, from 0.
        rings: corners `(n, 2)` of each polygon as (x, y) in pixels, filled by the rule "area only" of
            `masks.polygons.filled`.
        patches: pixels, for objects that are not polygons.
        box: xyxy in pixels, if the file has one; else it is the bounding box.
        void: whether its pixels are ignored, as COCO's crowds.
        group: shapes of one class and group are one object; None: an object of its own.
    """

    label: int
    rings: tuple[np.ndarray, ...] = ()
    patches: tuple[Patch, ...] = ()
    box: Sequence[float] | None = None
    void: bool = False
    group: int | None = None


def drawn(shapes: Sequence[Shape], window: Window) -> np.ndarray:
    """Number, from 1, of the last shape that covers each pixel of a window, `(h, w)` int32; 0 for none.

    Args:
        shapes: objects in drawing order.
        window: `(top, left, height, width)` in the image.
    """
    top, left, *size = window
    labels = np.zeros(size, np.int32)
    for is_polygon, group in groupby(enumerate(shapes, 1), key=lambda item: bool(item[1].rings)):
        members = list(group)
        if is_polygon:
            # Each ring is drawn as a shape of its own: overlapping parts of one object do not cancel out.
            rings = [ring - (left, top) for _, shape in members for ring in shape.rings]
            owners = np.array([0, *(number for number, shape in members for _ in shape.rings)], np.int32)
            found = owners[filled(rings, (size[0], size[1]), range(1, len(owners)))]
            labels = np.where(found > 0, found, labels)
            continue
        for number, shape in members:
            for patch in shape.patches:
                _paste(labels, patch, number, window)
    return labels


def object_numbers(shapes: Sequence[Shape]) -> list[int]:
    """Number, from 1, of the object of each shape, in the order of their first shapes."""
    numbers: dict[tuple[int, int], int] = {}
    count, found = 0, []
    for shape in shapes:
        known = None if shape.group is None else numbers.setdefault((shape.label, shape.group), count + 1)
        count += known in (None, count + 1)
        found.append(known or count)
    return found


def bounds(shape: Shape) -> np.ndarray | None:
    """Box of a shape `(4,)` float64 xyxy in pixels, the far side excluded; None if it has no extent."""
    if shape.box is not None:
        return np.asarray(shape.box, np.float64)
    corners = [ring for ring in shape.rings if len(ring)]
    for patch in shape.patches:
        rows, columns = np.flatnonzero(patch.mask.any(axis=1)), np.flatnonzero(patch.mask.any(axis=0))
        if len(rows):
            first, last = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
            corners.append(np.array([first, last], np.float64) + (patch.left, patch.top))
    if not corners:
        return None
    points = np.concatenate(corners)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _paste(labels: np.ndarray, patch: Patch, number: int, window: Window) -> None:
    """Set the pixels of a patch that are in a window."""
    top, left = patch.top - window[0], patch.left - window[1]
    rows = slice(max(top, 0), max(min(top + patch.mask.shape[0], labels.shape[0]), 0))
    columns = slice(max(left, 0), max(min(left + patch.mask.shape[1], labels.shape[1]), 0))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = patch.mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        labels[rows, columns][part] = number
