"""COCO polygons have the pixels that pycocotools gives them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycoco

from masks.coco_polygons import coco_patches
from masks.polygons import filled
from masks.shapes import Shape, drawn

CORNER = st.one_of(st.integers(-20, 70), st.floats(-20, 70), st.integers(-200, 700).map(lambda n: n / 10))
RINGS = st.lists(st.lists(st.tuples(CORNER, CORNER), min_size=3, max_size=9), min_size=1, max_size=4)


def reference(ring, size):
    """A polygon by pycocotools."""
    flat = np.ravel(ring).astype(float).tolist()
    return pycoco.decode(pycoco.frPyObjects([flat], *size))[..., 0] > 0


def pixels(patch, size):
    return drawn([Shape(0, patches=(patch,) if patch else ())], (0, 0, *size)) > 0


@settings(max_examples=100, deadline=None)
@given(rings=RINGS, height=st.integers(1, 50), width=st.integers(1, 50))
def test_polygons_equal_pycocotools(rings, height, width):
    size = (height, width)
    patches = coco_patches([np.array(ring, float) for ring in rings], size)
    for ring, patch in zip(rings, patches, strict=True):
        assert np.array_equal(pixels(patch, size), reference(ring, size))


def test_polygons_along_the_edges_of_pixels_are_those_of_every_other_target():
    ring = np.array([[2, 1], [9, 1], [9, 4], [6, 4], [6, 8], [2, 8]])
    (patch,) = coco_patches([ring], (12, 12))
    assert np.array_equal(pixels(patch, (12, 12)), filled([ring], (12, 12)) > 0)
    assert (patch.top, patch.left, patch.mask.shape) == (1, 2, (7, 7))


def test_nothing_to_draw():
    assert coco_patches([], (4, 4)) == []
    assert coco_patches([np.zeros((0, 2)), np.array([[50, 50], [60, 50], [60, 60]])], (4, 4)) == [None, None]
