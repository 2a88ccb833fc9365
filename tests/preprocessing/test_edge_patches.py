import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.edge_patches import edge_patches, edge_pixels


def blobs(height, width, seed, level=0.2):
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return smooth > level * smooth.std()


def cover(patches, shape):
    count = np.zeros(shape, int)
    for top, left, height, width in patches:
        assert min(top, left) >= 0
        assert top + height <= shape[0]
        assert left + width <= shape[1]
        count[top : top + height, left : left + width] += 1
    return count


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 160), st.integers(40, 160), st.integers(0, 10**6), st.integers(8, 32), st.integers(1, 3))
def test_every_edge_pixel_is_covered_and_no_window_is_without_an_edge(height, width, seed, size, times):
    mask = blobs(height, width, seed)
    edge = np.zeros(mask.shape, bool)
    edge[tuple(edge_pixels(mask).T)] = True
    patches = edge_patches(mask, size, times)
    count = cover(patches, mask.shape)
    assert len(np.unique(patches, axis=0)) == len(patches)
    # a pixel near the image's corner may lie in fewer different windows than were asked for
    rows, columns = (
        np.minimum(np.arange(side), side - length) - np.maximum(np.arange(side) - length + 1, 0) + 1
        for side, length in zip(mask.shape, np.minimum(size, mask.shape), strict=True)
    )
    assert (count[edge] >= np.minimum(times, rows[:, None] * columns)[edge]).all()
    for top, left, tall, wide in patches:
        assert edge[top : top + tall, left : left + wide].any()


def test_edges_are_those_of_an_erosion_and_follow_the_outline():
    mask = np.zeros((60, 60), bool)
    cv2.circle(canvas := mask.astype(np.uint8), (30, 30), 20, 1, -1)
    cv2.circle(canvas, (30, 30), 8, 0, -1)
    mask = canvas > 0
    points = edge_pixels(mask)
    inner = cv2.erode(canvas, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    assert len(points) >= ((canvas - inner) > 0).sum()
    assert {tuple(point) for point in points.tolist()} == {tuple(p) for p in np.argwhere(canvas - inner).tolist()}
    steps = np.abs(np.diff(points, axis=0)).max(1)
    assert (steps <= 1).mean() > 0.95


def test_far_fewer_windows_than_a_grid_of_the_same_cover():
    mask = np.zeros((1280, 1918), bool)
    mask[300:900, 400:1500] = True  # a car in a Carvana picture
    patches = edge_patches(mask, 256, 2)
    grid = np.ceil(1280 / 128) * np.ceil(1918 / 128)
    assert len(patches) < grid / 4
    assert (cover(patches, mask.shape)[550:650, 850:1050] == 0).all()


def test_small_and_empty_images():
    assert edge_patches(np.zeros((50, 50), bool), 16).shape == (0, 4)
    assert edge_patches(np.ones((50, 50), bool), 16).shape == (0, 4)
    mask = np.zeros((10, 12), bool)
    mask[3:6, 3:6] = True
    assert edge_patches(mask, 32, 2).tolist() == [[0, 0, 10, 12]]
    corner = np.zeros((20, 20), bool)
    corner[0, 0] = True
    assert edge_patches(corner, 8, 3).tolist() == [[0, 0, 8, 8]]
    with pytest.raises(ValueError, match="both must be >= 1"):
        edge_patches(mask, 0)
