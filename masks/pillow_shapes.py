"""Polygons, rectangles, circles and lines as pixels, by the rule of Pillow's `ImageDraw`, which labelme uses."""

import math
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from masks.shapes import Patch

Kind = Literal["polygon", "rectangle", "ellipse", "line"]


def pillow_patch(kind: Kind, points: np.ndarray, size: tuple[int, int], width: int = 1) -> Patch | None:
    """Pixels of a shape as `ImageDraw` draws it on the whole image, outline included; None if it is outside.

    Args:
        kind: `polygon`; `rectangle` and `ellipse`, by two opposite corners of their box; `line` through all points.
        points: corners `(n, 2)` as (x, y) in pixels.
        size: `(H, W)` of the image.
        width: width of a line in pixels.
    """
    if kind in ("rectangle", "ellipse"):
        points = np.sort(points, axis=0)
    margin = width + 1
    # Coordinates are cut to whole numbers towards 0, so only those above 0 may be moved, and by whole numbers.
    left, top = (max(0, math.floor(low) - margin) for low in points.min(axis=0))
    right, bottom = (math.ceil(high) + margin + 1 for high in points.max(axis=0))
    right, bottom = min(right, size[1]), min(bottom, size[0])
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("L", (right - left, bottom - top))
    draw, moved = ImageDraw.Draw(canvas), [(x, y) for x, y in (points - (left, top)).tolist()]
    if kind == "polygon":
        draw.polygon(moved, outline=1, fill=1)
    elif kind == "rectangle":
        draw.rectangle(moved, outline=1, fill=1)
    elif kind == "ellipse":
        draw.ellipse(moved, outline=1, fill=1)
    else:
        draw.line(moved, fill=1, width=width)
    return Patch(top, left, np.asarray(canvas) > 0)
