"""Conversion between pixels and polygons."""

from typing import TYPE_CHECKING

import numpy as np

from masks.ids import consecutive
from masks.polygons import areas, filled, import_shapely, rings_of

if TYPE_CHECKING:
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

Size = tuple[int, int]


def outlines(labels: np.ndarray, tolerance: float = 0.0) -> list[tuple[int, "Polygon"]]:
    """Polygons along the edges of pixels, with exactly their area, including holes.

    Args:
        labels: integer ids `(H, W)`, 0 = background. Pixels that touch only at a corner are separate pieces.
        tolerance: tolerance in pixels up to which outlines are simplified (Douglas-Peucker); 0 keeps all corners.

    Returns:
        Id and polygon (x = column, y = row) of every piece, in order of ids.
    """
    shapely = import_shapely()
    try:
        from rasterio.features import shapes
    except ImportError as error:
        raise ImportError('polygons of masks require rasterio: pip install -e ".[satellite]"') from error
    pieces = []
    numbered, ids = consecutive(labels)  # GDAL accepts ids up to 2^31
    if len(ids):
        for geometry, value in shapes(numbered, mask=numbered > 0, connectivity=4):
            polygon = shapely.geometry.shape(geometry)
            if tolerance > 0:
                polygon = shapely.simplify(polygon, tolerance, preserve_topology=True)
            # An outline that touches itself at a corner becomes an outline with a hole.
            pieces += [(int(ids[int(value) - 1]), part) for part in areas(polygon)]
    return sorted(pieces, key=lambda piece: piece[0])


def rasterised(polygons: list["BaseGeometry"], size: Size) -> np.ndarray:
    """Rasterise polygons to `(H, W)` int32 ids 1, 2, …; a pixel gets the last one that contains its centre."""
    rings, numbers = rings_of(polygons)
    return filled(rings, size, numbers.tolist())


def from_wkt(text: str, kinds: tuple[str, ...]) -> "BaseGeometry":
    """Parse a valid polygon from a text; a third coordinate is dropped.

    Args:
        text: well-known text (WKT).
        kinds: accepted types, `Polygon` or `MultiPolygon`.

    Raises:
        ValueError: another geometry, or one that crosses itself.
    """
    shapely = import_shapely()
    try:
        geometry = shapely.force_2d(shapely.from_wkt(text))
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise ValueError(f"{text[:60]!r} is not well-known text: {error}") from None
    if geometry is None or geometry.geom_type not in kinds:
        raise ValueError(f"{text[:60]!r} is not a {' or '.join(kinds)}")
    if not geometry.is_valid:
        raise ValueError(f"the polygon is invalid: {shapely.is_valid_reason(geometry)}")
    return geometry


def inside(geometry: "BaseGeometry", width: float, height: float) -> bool:
    """Whether a geometry is between (0, 0) and (width, height), either of which may be negative."""
    if geometry.is_empty:
        return True
    left, top, right, bottom = geometry.bounds
    slack_x, slack_y = 1e-6 * abs(width), 1e-6 * abs(height)
    return (
        left >= min(0, width) - slack_x
        and right <= max(0, width) + slack_x
        and top >= min(0, height) - slack_y
        and bottom <= max(0, height) + slack_y
    )
