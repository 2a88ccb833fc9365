"""Thick lines, ellipses and turned rectangles, against the distance of each pixel centre."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from masks.shapes import Shape, drawn
from masks.strokes import ellipse, rectangle, stroke

SIZE = (40, 50)
X, Y = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)


def pixels(*rings):
    return drawn([Shape(0, rings=rings)], (0, 0, *SIZE)) > 0


def agree(found, signed):
    """Equal except within 0.02 pixels of the outline; `signed` is below 0 inside."""
    clear = np.abs(signed) > 0.02
    return (found == (signed < 0))[clear].all()


POINTS = st.lists(st.tuples(st.floats(-5, 55), st.floats(-5, 45)), min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(points=POINTS, width=st.floats(0.5, 12))
def test_a_stroke_has_the_centres_within_half_its_width(points, width):
    points = np.array(points)
    distance = np.hypot(X - points[0, 0], Y - points[0, 1])
    for (x1, y1), (x2, y2) in zip(points[:-1], points[1:], strict=True):
        length = (x2 - x1) ** 2 + (y2 - y1) ** 2
        share = np.clip(((X - x1) * (x2 - x1) + (Y - y1) * (y2 - y1)) / (length or 1), 0, 1)
        distance = np.minimum(distance, np.hypot(X - x1 - share * (x2 - x1), Y - y1 - share * (y2 - y1)))
    assert agree(pixels(*stroke(points, width)), distance - width / 2)


@settings(max_examples=80, deadline=None)
@given(x=st.floats(0, 50), y=st.floats(0, 40), a=st.floats(1, 30), b=st.floats(1, 30), degrees=st.floats(-360, 360))
def test_ellipses_and_rectangles_turn_clockwise(x, y, a, b, degrees):
    angle = np.radians(degrees)
    along = (X - x) * np.cos(angle) + (Y - y) * np.sin(angle)  # of the axis that points right before the rotation
    across = -(X - x) * np.sin(angle) + (Y - y) * np.cos(angle)
    far = np.hypot(along / a, across / b)
    assert agree(pixels(ellipse(x, y, a, b, degrees)), (far - 1) * min(a, b))
    box = np.maximum(np.abs(along) - a, np.abs(across) - b)
    assert agree(pixels(rectangle(x - a, y - b, x + a, y + b, degrees)), box)


def test_extreme_ellipses():
    assert len(ellipse(0, 0, 0, 0)) == 8
    assert len(ellipse(0, 0, 1e30, 1)) == 20_000
