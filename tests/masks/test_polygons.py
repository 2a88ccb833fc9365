"""Which pixels an outline holds, against plain arithmetic with whole numbers, OpenCV and GDAL."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masks.polygons import contour_pixels, filled

SIZE = (9, 11)
# Corners in halves of a pixel, so that many centres and edges meet; some lie outside.
CORNERS = st.tuples(st.integers(-3, 25), st.integers(-3, 21))
RINGS = st.lists(st.lists(CORNERS, min_size=1, max_size=7), min_size=1, max_size=4)
MASKS = st.integers(0, 2**63 - 1).map(lambda seed: np.random.default_rng(seed).random(SIZE) < (seed % 10) / 10)


def edges(ring):
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


def on(ring, x, y):
    """Whether a point lies on a ring, exactly."""
    for (x0, y0), (x1, y1) in edges(ring):
        cross = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        if cross == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
            return True
    return False


def crossed(ring, x, y):
    """How often a ring passes left of a point, or through it, on its level; exactly."""
    count = 0
    for (x0, y0), (x1, y1) in edges(ring):
        if (y0 <= y) != (y1 <= y):
            count += x0 + Fraction((y - y0) * (x1 - x0), y1 - y0) < x
    return count


def reference(rings, contour):
    """`(H, W)` bool: rings in halves of a pixel, so that pixel (0, 0) has its centre at (1, 1)."""
    mask = np.zeros(SIZE, bool)
    for row, column in np.ndindex(*SIZE):
        x, y = 2 * column + 1, 2 * row + 1
        inside = sum(crossed(ring, x, y) for ring in rings) % 2 == 1
        mask[row, column] = inside or (contour and any(on(ring, x, y) for ring in rings))
    return mask


@settings(deadline=None)
@given(RINGS)
def test_area_is_what_lies_inside_an_odd_number_of_rings(rings):
    found = filled([np.array(ring) / 2 for ring in rings], SIZE)
    assert found.dtype == np.int32
    assert ((found > 0) == reference(rings, contour=False)).all()


@settings(deadline=None)
@given(RINGS.map(lambda rings: [ring for ring in rings if len(set(ring)) > 2]))
def test_contours_are_what_lies_inside_or_on_a_ring(rings):
    assert ((filled([np.array(ring) / 2 for ring in rings], SIZE, contour=True) > 0) == reference(rings, True)).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 14), st.floats(-3, 12)), min_size=3, max_size=8))
def test_outlines_between_centres_are_as_gdal_fills_them(ring):
    features = pytest.importorskip("rasterio.features")
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    mask = filled([np.array(ring)], SIZE) > 0
    # where GDAL's division rounds, and on level edges, which it fills or not by the sense of rotation, it may differ
    edge = np.zeros(SIZE, bool)
    edge[contour_pixels([np.array(ring)], SIZE)[1:]] = True
    assert ((mask == (features.rasterize([(geometry, 1)], out_shape=SIZE) > 0)) | edge).all()


@given(MASKS, st.sampled_from([cv2.CHAIN_APPROX_NONE, cv2.CHAIN_APPROX_SIMPLE]))
def test_contours_of_a_mask_give_the_mask_again(mask, how):
    """Rings, holes, islands in holes, lines and single pixels, as rt-utils and OpenCV trace them."""
    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, how)[0]
    rings = [contour[:, 0] + 0.5 for contour in contours]
    assert ((filled(rings, SIZE, contour=True) > 0) == mask).all()
    moved = [ring + 1e-6 * (np.arange(ring.size).reshape(ring.shape) % 3 - 1) for ring in rings]  # as files round
    assert ((filled(moved, SIZE, contour=True) > 0) == mask).all()


@given(st.lists(CORNERS, min_size=3, max_size=6, unique=True), CORNERS, CORNERS)
def test_of_shapes_that_share_an_edge_one_has_each_centre(ring, one, other):
    """A fan of triangles around a point, wound either way: they cover what their outline covers, each centre once."""
    parts = [[one, first, second] for first, second in edges(ring)]
    parts = [part[::-1] if number % 2 else part for number, part in enumerate(parts)]
    covered = sum((filled([np.array(part) / 2], SIZE) for part in parts), np.zeros(SIZE, np.int32))
    assert (covered % 2 == filled([np.array(ring) / 2], SIZE)).all()


SQUARE = [(0, 0), (20, 0), (20, 20), (0, 20)]


@pytest.mark.parametrize(
    ("ring", "count"),
    [
        (SQUARE, 400),
        ([(3, 3), (17, 3)], 0),
        ([(3, 3)], 0),
        ([(3, 3), (10, 10), (17, 17), (5, 5)], 0),
        ([(0, 0), (20, 0), (36, 0), (20, 0), (20, 20), (0, 20)], 400),
        ([*SQUARE, (0, 0), (-5, -5), (35, 35), (0, 0)], 400),
    ],
)
def test_lines_and_spikes_have_no_area(ring, count):
    assert np.count_nonzero(filled([np.array(ring) + 0.5], (40, 40))) == count


def test_rings_of_one_and_two_points_draw_their_pixels():
    def drawn(*ring):
        return np.argwhere(filled([np.array(ring)], (12, 12), contour=True)).tolist()

    assert drawn((4.5, 2.5)) == drawn((4.5, 2.5), (4.5, 2.5)) == drawn((4.9, 2.1)) == [[2, 4]]
    assert drawn((1.5, 2.5), (10.5, 2.5)) == [[2, column] for column in range(1, 11)]
    assert drawn((1.5, 2.5), (5.5, 6.5), (1.5, 2.5)) == [[2 + step, 1 + step] for step in range(5)]
    assert drawn((1.2, 2.3), (4.7, 2.8)) == [[2, 1], [2, 2], [2, 3], [2, 4]]  # through no centre
    assert drawn((-3.5, 2.5), (1.5, 2.5)) == [[2, 0], [2, 1]]
    assert drawn((20.5, 2.5)) == []


def test_a_ring_keeps_its_hole_as_xor_and_as_a_keyhole():
    outer, inner = np.array([(2, 2), (22, 2), (22, 22), (2, 22)]) + 0.5, np.array([(8, 8), (16, 8), (16, 16), (8, 16)])
    expected = np.zeros((25, 25), bool)
    expected[2:23, 2:23] = True
    expected[9:16, 9:16] = False  # the contour of the hole belongs to the ring
    assert ((filled([outer, inner + 0.5], (25, 25), contour=True) > 0) == expected).all()
    keyhole = np.concatenate([outer, outer[:1], inner[[0, 3, 2, 1, 0]] + 0.5])
    assert ((filled([keyhole], (25, 25), contour=True) > 0) == expected).all()
    assert np.count_nonzero(filled([keyhole], (25, 25))) == 20**2 - 8**2


def test_the_last_shape_has_a_pixel_of_several():
    rings = [np.array([(x, x), (x + 3, x), (x + 3, x + 3), (x, x + 3)]) for x in (0, 2, 1)]
    assert filled(rings, (5, 5), [1, 2, 3]).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 3, 3, 3, 0],
        [1, 3, 3, 3, 2],
        [0, 3, 3, 3, 2],
        [0, 0, 2, 2, 2],
    ]


def test_70_000_shapes_of_a_pixel_each():
    rows, columns = np.divmod(np.arange(70_000), 280)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    rings = list(np.stack([columns, rows], axis=1)[:, None] + corners)
    expected = np.arange(1, 70_001).reshape(250, 280)
    assert (filled(rings, (250, 280), np.arange(1, 70_001)) == expected).all()


def test_nothing_and_no_numbers():
    assert not filled([], (3, 4)).any()
    assert not filled([np.zeros((0, 2))], (3, 4), contour=True).any()
    with pytest.raises(ValueError, match="not finite numbers"):
        filled([np.array([(0, 0), (np.nan, 1), (2, 2)])], (3, 4))
