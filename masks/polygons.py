"""Rasterising of polygons: a single rule of which pixels are inside, for every target, submission and data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

ON_CONTOUR = 1e-3  # pixels; files have rounded millimetres, so a centre on a contour is rarely exactly on it


def filled(
    rings: Sequence[np.ndarray], size: tuple[int, int], shapes: Sequence[int] | None = None, contour: bool = False
) -> np.ndarray:
    """Shape number of each pixel, `(H, W)` int32; 0 outside all shapes, the largest number where several overlap.

    A pixel is represented by its centre: that of pixel (0, 0) is x = 0.5, y = 0.5. Two rules are available:

    - area only: a pixel belongs to a shape if its centre is inside an odd number of the shape's rings, so a ring within
      another is a hole. Lines, points and spikes contain nothing. A centre exactly on an edge belongs to the shape on
      its left or, if the edge is level, below it: to only one of the shapes that share an edge.
    - contour included: also every pixel whose centre is on one of the rings (within 0.001 pixels), outline or hole:
      contours traced from the pixels of a mask, as by OpenCV's `findContours`, go through their centres. A ring of one
      point is the pixel around it, one of two points the pixels along the line between them.

    Args:
        rings: corners `(n, 2)` of each ring as (x, y) in pixels; the last is joined to the first.
        size: size `(H, W)` of the result; parts outside are cut off.
        shapes: number, from 1, of the shape of each ring (default: all 1).
        contour: whether contours are included.

    Raises:
        ValueError: a corner is not a finite number.
    """
    numbers = np.ones(len(rings), np.int64) if shapes is None else np.asarray(shapes, np.int64)
    owner, row, start, stop = _spans(rings, numbers, size)
    if contour:
        edge, rows, columns = contour_pixels(rings, size)
        owner, row = np.concatenate([owner, numbers[edge]]), np.concatenate([row, rows])
        start, stop = np.concatenate([start, columns]), np.concatenate([stop, columns + 1])
    labels = np.zeros(size, np.int32)
    order = np.argsort(owner, kind="stable")
    for number, at, first, end in zip(*(part[order].tolist() for part in (owner, row, start, stop)), strict=True):
        labels[at, first:end] = number
    return labels


def contour_pixels(rings: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the ring, row and column of every pixel whose centre is on a ring; see `filled`.

    Args:
        rings: corners `(n, 2)` of each ring as (x, y) in pixels.
        size: size `(H, W)` of the image.
    """
    tail, head, ring = _edges(rings)
    thin = _thin(tail, ring)
    delta = head - tail
    steep = np.abs(delta[:, 1]) >= np.abs(delta[:, 0])
    found = []
    for axis, along in ((1, steep), (0, ~steep)):  # step by step along the longer side of the edge
        low, high = np.sort(np.stack([tail[along, axis], head[along, axis]]), axis=0)
        drawn = thin[along]
        first = np.where(drawn, np.floor(low), np.ceil(low - 0.5 - ON_CONTOUR))
        last = np.where(drawn, np.floor(high), np.floor(high - 0.5 + ON_CONTOUR))
        side = (size[1], size[0])[axis]
        edge, step = expanded(np.clip(first, 0, side).astype(np.int64), np.clip(last + 1, 0, side).astype(np.int64))
        start, way = tail[along][edge], delta[along][edge]
        centre = np.empty((len(edge), 2))
        centre[:, axis] = step + 0.5
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip(np.nan_to_num((centre[:, axis] - start[:, axis]) / way[:, axis]), 0, 1)
        other = 1 - axis
        across = np.floor(start[:, other] + share * way[:, other])
        centre[:, other] = across + 0.5
        near = drawn[edge] | (_distance(centre, start, way) <= ON_CONTOUR)
        kept = near & (across >= 0) & (across < (size[1], size[0])[other])
        across = across[kept].astype(np.int64)
        pair = (step[kept], across) if axis == 1 else (across, step[kept])
        found.append((ring[along][edge][kept], *pair))
    owners, rows, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return owners, rows, columns


def import_shapely() -> Any:
    """Import shapely, or raise an error that says how to install it."""
    try:
        import shapely
    except ImportError as error:
        raise ImportError('polygons require shapely: pip install -e ".[satellite]"') from error
    return shapely


def areas(geometry: "BaseGeometry") -> list["Polygon"]:
    """Valid polygons that cover the area of a geometry; points, lines and spikes are dropped.

    An outline that crosses itself covers what is inside an odd number of times. Overlapping parts of an invalid
    multipolygon are united.
    """
    shapely = import_shapely()
    parts = _polygons(geometry)
    if geometry.is_valid:
        return parts
    held = [piece for part in parts for piece in _polygons(part if part.is_valid else shapely.make_valid(part))]
    return _polygons(shapely.union_all(held)) if len(parts) > 1 else held


def _polygons(geometry: "BaseGeometry") -> list["Polygon"]:
    if geometry.geom_type == "Polygon":
        return [] if geometry.is_empty else [geometry]
    return [part for inner in getattr(geometry, "geoms", []) for part in _polygons(inner)]


def rings_of(polygons: Sequence["BaseGeometry"]) -> tuple[list[np.ndarray], np.ndarray]:
    """Rings `(n, 2)` of polygons and multipolygons, and the number, from 1, of the polygon of each ring."""
    shapely = import_shapely()
    parts, polygon = shapely.get_parts(np.array(polygons, object), return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    return np.split(points, np.flatnonzero(np.diff(ring)) + 1) if len(points) else [], polygon[part] + 1


def _spans(
    rings: Sequence[np.ndarray], numbers: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shape number, row, first and end column of the pixels inside, by the rule "area only"."""
    tail, head, ring = _edges(rings)
    # From top to bottom, so that two shapes that share an edge compute exactly the same crossing.
    down = tail[:, 1] <= head[:, 1]
    top, bottom = np.where(down[:, None], tail, head), np.where(down[:, None], head, tail)
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, size[0]).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, size[0]).astype(np.int64)
    edge, row = expanded(first, last)
    (x, y), (across, along) = top[edge].T, (bottom - top)[edge].T
    down = row + 0.5 - y
    column = np.floor(x + down * across / along + 0.5)

    def left(column: np.ndarray) -> np.ndarray:
        """Whether the centre is left of the edge or on it; exact, as it avoids the division."""
        return down * across >= (column + 0.5 - x) * along

    column += left(column)
    column -= ~left(column - 1)
    column = np.clip(column, 0, size[1]).astype(np.int64)
    owner = numbers[ring[edge]]
    order = np.lexsort((column, row, owner))  # closed rings cross a row an even number of times
    owner, row, start, stop = owner[order][::2], row[order][::2], column[order][::2], column[order][1::2]
    full = start < stop
    return owner[full], row[full], start[full], stop[full]


def _edges(rings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends of every edge, `(E, 2)` each, and the index of its ring `(E,)`."""
    lengths = np.array([len(ring) for ring in rings], np.int64)
    tail = np.concatenate([np.zeros((0, 2)), *rings]).astype(np.float64, copy=False)
    if not np.isfinite(tail).all():
        raise ValueError("a polygon has corners that are not finite numbers")
    following = np.arange(1, len(tail) + 1)
    ends = np.cumsum(lengths)
    following[(ends - 1)[lengths > 0]] = (ends - lengths)[lengths > 0]
    return tail, tail[following], np.repeat(np.arange(len(rings)), lengths)


def _thin(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Whether the ring of each point has only one or two distinct corners; `(P,)`."""
    if not len(ring):
        return np.zeros(0, bool)
    _, starts, own = np.unique(ring, return_index=True, return_inverse=True)
    apart = np.abs(points - points[starts][own]).max(axis=1) > ON_CONTOUR
    second = starts.copy()  # last corner that differs from the first, for rings that have one
    second[own[apart]] = np.flatnonzero(apart)
    third = apart & (np.abs(points - points[second][own]).max(axis=1) > ON_CONTOUR)
    return ~np.logical_or.reduceat(third, starts)[own]


def expanded(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every integer from `first` up to `end`, and the index of its pair."""
    lengths = np.maximum(end - first, 0)
    index = np.repeat(np.arange(len(first)), lengths)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)


def _distance(points: np.ndarray, start: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Distance of points `(n, 2)` to the edges from `start` along `way`."""
    length = (way**2).sum(1)
    share = ((points - start) * way).sum(1) / np.where(length > 0, length, 1)
    return np.hypot(*(points - start - np.clip(share, 0, 1)[:, None] * way).T)
