"""Objects drawn in order, by windows and as a whole, against plain loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from masks.polygons import filled
from masks.shapes import Patch, Shape, bounds, drawn

SIZE = (24, 30)
CORNER = st.tuples(st.floats(-8, 38), st.floats(-8, 32))


@st.composite
def shapes(draw):
    if draw(st.booleans()):
        rings = draw(st.lists(st.lists(CORNER, min_size=3, max_size=6), min_size=1, max_size=3))
        return Shape(0, rings=tuple(np.array(ring) for ring in rings))
    patch = st.builds(
        lambda top, left, seed, h, w: Patch(top, left, np.random.default_rng(seed).random((h, w)) < 0.5),
        *(st.integers(-6, 28), st.integers(-6, 32), st.integers(0, 99), st.integers(1, 9), st.integers(1, 9)),
    )
    return Shape(0, patches=tuple(draw(st.lists(patch, max_size=2))))


def painted(objects):
    """Pixel by pixel, object after object, on a canvas with a border."""
    canvas = np.zeros((SIZE[0] + 80, SIZE[1] + 80), int)
    for number, shape in enumerate(objects, 1):
        for ring in shape.rings:
            canvas[filled([ring + 40], canvas.shape) > 0] = number
        for patch in shape.patches:
            for y, x in zip(*np.nonzero(patch.mask), strict=True):
                canvas[40 + patch.top + y, 40 + patch.left + x] = number
    return canvas


@settings(max_examples=60, deadline=None)
@given(objects=st.lists(shapes(), max_size=6), window=st.data())
def test_windows_and_order(objects, window):
    top, left = window.draw(st.integers(0, 20)), window.draw(st.integers(0, 25))
    height, width = window.draw(st.integers(1, 24 - top)), window.draw(st.integers(1, 30 - left))
    whole = painted(objects)[40 : 40 + SIZE[0], 40 : 40 + SIZE[1]]
    assert np.array_equal(drawn(objects, (0, 0, *SIZE)), whole)
    part = drawn(objects, (top, left, height, width))
    assert np.array_equal(part, whole[top : top + height, left : left + width])


def test_parts_that_overlap_do_not_cancel_out():
    square = np.array([[1, 1], [5, 1], [5, 5], [1, 5.0]])
    assert drawn([Shape(0, rings=(square, square + 2))], (0, 0, 8, 8)).sum() == 16 + 16 - 4


def test_bounds():
    ring = np.array([[1, 2], [5, 2.5], [3, 7]])
    assert bounds(Shape(0, rings=(ring, ring + 4))).tolist() == [1, 2, 9, 11]
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2] = True
    assert bounds(Shape(0, patches=(Patch(10, 20, mask),))).tolist() == [22, 11, 23, 13]
    assert bounds(Shape(0, rings=(ring,), box=(0, 0, 1, 1))).tolist() == [0, 0, 1, 1]
    assert bounds(Shape(0)) is None
