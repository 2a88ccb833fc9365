"""Blobs of known place and size."""

import numpy as np
import pytest

from preprocessing.blobs import find_blobs


def balls(size, centres, sigmas, spacing=None):
    grid = np.ogrid[tuple(slice(side) for side in size)]
    spacing = spacing or [1.0] * len(size)
    total = np.zeros(size)
    for centre, sigma in zip(centres, sigmas, strict=True):
        far = sum(((axis - at) * step) ** 2 for axis, at, step in zip(grid, centre, spacing, strict=True))
        total += np.exp(-far / (2 * sigma**2))
    return total


def matched(found, centres, sigmas, off=1):
    assert len(found.centres) == len(centres)
    for centre, sigma in zip(centres, sigmas, strict=True):
        distances = np.abs(found.centres - centre).max(1)
        nearest = distances.argmin()
        assert distances[nearest] <= off
        assert abs(found.sigmas[nearest] - sigma) <= 0.25 * sigma


THREE_3D = ([(12, 15, 14), (30, 34, 20), (22, 14, 42)], [1.5, 3.0, 4.5])
THREE_2D = ([(15, 20), (40, 70), (70, 25)], [2.0, 5.0, 8.0])


def test_three_balls_in_a_volume():
    found = find_blobs(balls((44, 50, 56), *THREE_3D), max_sigma=8)
    matched(found, *THREE_3D)
    np.testing.assert_allclose(found.radii, found.sigmas * 2**0.5)


def test_three_disks_in_an_image():
    matched(find_blobs(balls((90, 100), *THREE_2D)), *THREE_2D)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_integers_keep_their_values(dtype):
    array = (balls((90, 100), *THREE_2D) * 200).astype(dtype)
    found = find_blobs(array, threshold=20)
    matched(found, *THREE_2D)
    assert found.values.dtype == dtype
    assert (found.values == array[tuple(found.centres.T)]).all()


def test_spacing_in_millimetres():
    centres, sigmas, spacing = [(8, 20, 20), (16, 45, 30)], [3.0, 5.0], (2.5, 0.8, 0.8)
    volume = balls((24, 64, 60), centres, sigmas, spacing)
    matched(find_blobs(volume, min_sigma=2, max_sigma=9, spacing=spacing), centres, sigmas)


@pytest.mark.parametrize("axes", [2, 3])
def test_radius_of_a_solid_ball(axes):
    grid = np.ogrid[tuple(slice(48) for _ in range(axes))]
    solid = (sum((axis - 24) ** 2 for axis in grid) <= 8**2).astype(np.float32)
    found = find_blobs(solid, min_sigma=2, max_sigma=12)
    assert (found.centres[0] == 24).all()
    assert abs(found.radii[0] - 8) <= 0.15 * 8


def test_nothing_in_nothing():
    found = find_blobs(np.zeros((20, 20)))
    assert found.centres.shape == (0, 2)
    assert found.radii.shape == found.values.shape == (0,)


def test_sizes_out_of_range_are_left_out():
    found = find_blobs(balls((90, 100), *THREE_2D), min_sigma=3, max_sigma=6.5)
    matched(found, THREE_2D[0][1:2], THREE_2D[1][1:2])


@pytest.mark.parametrize(
    ("array", "arguments", "word"),
    [
        (np.zeros((9, 9)), {"spacing": (1, 1, 1)}, "spacing"),
        (np.zeros((9, 9)), {"min_sigma": 0}, "min_sigma"),
        (np.zeros((9, 9)), {"sigma_ratio": 1}, "ratio"),
        (np.full((9, 9), np.nan), {}, "NaN"),
    ],
)
def test_what_makes_no_sense_is_refused(array, arguments, word):
    with pytest.raises(ValueError, match=word):
        find_blobs(array, **arguments)
