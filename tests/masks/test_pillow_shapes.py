"""A shape drawn in its own corner of the image has the pixels of one drawn on all of it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from masks.pillow_shapes import pillow_patch

SIZE = (23, 31)
COORDINATE = st.one_of(st.integers(-9, 40).map(float), st.floats(-9, 40, width=32))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["polygon", "rectangle", "ellipse", "line"]),
    st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=7),
    st.integers(1, 12),
)
def test_drawn_as_on_the_whole_image(kind, points, width):
    points = points if kind in ("polygon", "line") else points[:2]
    canvas = Image.new("L", SIZE[::-1])
    draw = ImageDraw.Draw(canvas)
    (x1, y1), (x2, y2) = points[:2]
    corners = [(min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2))]
    if kind == "polygon":
        draw.polygon(points, outline=1, fill=1)
    elif kind == "line":
        draw.line(points, fill=1, width=width)
    else:
        getattr(draw, kind)(corners, outline=1, fill=1)
    found, patch = np.zeros(SIZE, bool), pillow_patch(kind, np.array(points), SIZE, width)
    if patch is not None:
        height, across = patch.mask.shape
        found[patch.top : patch.top + height, patch.left : patch.left + across] = patch.mask
    np.testing.assert_array_equal(found, np.asarray(canvas) > 0)
