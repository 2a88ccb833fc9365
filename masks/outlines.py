"""Between pixels and polygons."""

from typing import TYPE_CHECKING

import numpy as np

from masks.ids import consecutive
from masks.polygons import areas, filled, import_shapely, rings_of

if TYPE_CHECKING:
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

Size = tuple[int, int]


def outlines(labels: np.ndarray, tolerance: float = 0.0) -> list[tuple[int, "Polygon"]]:
    """Polygons along the edges of pixels: exactly the area of what they surround, holes included.

    Args:
        labels: `(H, W)` integer ids, 0 = background. Pixels that touch at a corner alone are two pieces.
        tolerance: leave out corners that move the line by less than that many pixels (Douglas-Peucker); 0 keeps all.

    Returns:
        Id and polygon (x = column, y = row) of every piece, by rising id.
    """
    shapely = import_shapely()
    try:
        from rasterio.features import shapes
    except ImportError as error:
        raise ImportError('polygons of masks need rasterio: pip install -e ".[satellite]"') from error
    pieces = []
    numbered, ids = consecutive(labels)  # GDAL takes ids up to 2^31
    if len(ids):
        for geometry, value in shapes(numbered, mask=numbered > 0, connectivity=4):
            polygon = shapely.geometry.shape(geometry)
            if tolerance > 0:
                polygon = shapely.simplify(polygon, tolerance, preserve_topology=True)
            # An outline that meets itself at a corner is an outline with a hole.
            pieces += [(int(ids[int(value) - 1]), part) for part in areas(polygon)]
    return sorted(pieces, key=lambda piece: piece[0])


def rasterised(polygons: list["BaseGeometry"], size: Size) -> np.ndarray:
    """`(H, W)` int32: the first polygon is 1, the second 2; a pixel belongs to the last one that its centre lies in."""
    rings, numbers = rings_of(polygons)
    return filled(rings, size, numbers.tolist())


def from_wkt(text: str, kinds: tuple[str, ...]) -> "BaseGeometry":
    """The valid polygon of a text; a third coordinate is dropped.

    Args:
        text: well-known text.
        kinds: types that may be, `Polygon` or `MultiPolygon`.

    Raises:
        ValueError: no such geometry, or one that crosses itself.
    """
    shapely = import_shapely()
    try:
        geometry = shapely.force_2d(shapely.from_wkt(text))
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise ValueError(f"{text[:60]!r} is no well-known text: {error}") from None
    if geometry is None or geometry.geom_type not in kinds:
        raise ValueError(f"{text[:60]!r} is no {' or '.join(kinds)}")
    if not geometry.is_valid:
        raise ValueError(f"the polygon is invalid: {shapely.is_valid_reason(geometry)}")
    return geometry


def inside(geometry: "BaseGeometry", width: float, height: float) -> bool:
    """Whether a geometry lies between (0, 0) and (width, height), either of which may be negative."""
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
