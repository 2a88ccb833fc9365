"""Rectangles, ellipses, discs and thick lines as polygons, for `masks.shapes`."""

import math

import numpy as np

DEVIATION = 0.01  # pixels between an ellipse and its polygon
MOST = 20_000  # corners, for a radius of 400,000 pixels


def rectangle(x1: float, y1: float, x2: float, y2: float, degrees: float = 0.0) -> np.ndarray:
    """Corners `(4, 2)` of a rectangle.

    Args:
        x1: first corner, in pixels.
        y1: first corner.
        x2: opposite corner.
        y2: opposite corner.
        degrees: rotation about the centre, clockwise as seen in the image.
    """
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)
    return _turned(corners, ((x1 + x2) / 2, (y1 + y2) / 2), degrees) if degrees else corners


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> np.ndarray:
    """Corners `(n, 2)` of an ellipse, within 0.01 pixels.

    Args:
        x: centre, in pixels.
        y: centre.
        radius_x: half axis along x before the rotation.
        radius_y: half axis along y.
        degrees: rotation about the centre, clockwise as seen in the image.
    """
    largest = max(abs(radius_x), abs(radius_y))
    count = math.ceil(min(max(math.pi * math.sqrt(largest / (2 * DEVIATION)), 8), MOST))
    angles = np.arange(count) * (2 * np.pi / count)
    corners = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
    return _turned(corners, (x, y), degrees) if degrees else corners


def stroke(points: np.ndarray, width: float) -> tuple[np.ndarray, ...]:
    """Rings whose union is a line with round ends and joints: every pixel centre within half the width of it.

    Args:
        points: corners `(n, 2)` of the line as (x, y) in pixels; a single point is a disc.
        width: width of the line in pixels, above 0.
    """
    start, way = points[:-1], np.diff(points, axis=0)
    length = np.hypot(*way.T)
    kept = length > 0
    across = way[kept][:, ::-1] * (-1, 1) / length[kept, None] * (width / 2)
    low, high = start[kept], start[kept] + way[kept]
    sides = np.stack([low + across, high + across, high - across, low - across], axis=1)
    return (*sides, *(ellipse(x, y, width / 2, width / 2) for x, y in points))


def _turned(corners: np.ndarray, centre: tuple[float, float], degrees: float) -> np.ndarray:
    """Rotate points clockwise in an image, whose y axis points down."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (corners - centre) @ turn + centre
