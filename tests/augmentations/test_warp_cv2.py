"""Sampling of one image in a worker: against the device, and exact where nothing is interpolated."""

import numpy as np
import pytest
import torch

from augmentations.maps import Warp
from augmentations.warp import Nearest, coordinates, warp_boxes, warp_images
from augmentations.warp_cv2 import ImageWarp

SIZE = (40, 52)


def warp(matrix, exact=False, border="constant", size=SIZE):
    return Warp(size, np.array(matrix, float)[None], None, None, None, None, np.array([exact]), border)


TURN = [[0.9137, -0.4271, 8.137], [0.3319, 0.8873, -5.071], [0, 0, 1]]  # no pixel lies between two
EXACT = {
    "flip": ([[-1, 0, 51], [0, 1, 0], [0, 0, 1]], SIZE, lambda image: image[:, ::-1]),
    "turn": ([[0, -1, 51], [1, 0, 0], [0, 0, 1]], SIZE[::-1], lambda image: np.rot90(image)),
    "shift": ([[1, 0, 3], [0, 1, 2], [0, 0, 1]], (20, 30), lambda image: image[2:22, 3:33]),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_flips_turns_and_shifts_are_exact(name, dtype):
    matrix, size, expected = EXACT[name]
    image = np.random.default_rng(0).integers(0, 200, (*SIZE, 5)).astype(dtype)
    moved = ImageWarp(warp(matrix, exact=True, size=size if name != "turn" else (52, 40)), SIZE)
    result = moved.image(image)
    assert result.dtype == dtype
    turned = expected(image)
    assert result.shape == turned.shape
    if name == "turn":  # either direction is a turn; this matrix has one
        assert np.array_equal(result, turned) or np.array_equal(result, np.rot90(image, -1))
    else:
        np.testing.assert_array_equal(result, turned)
    np.testing.assert_array_equal(moved.mask(image[..., 0].astype(np.int64)), result[..., 0].astype(np.int64))
    assert moved.valid() is None


@pytest.mark.parametrize("border", ["constant", "reflect"])
def test_a_worker_samples_as_the_device_does(border):
    rng = np.random.default_rng(1)
    image = rng.random((*SIZE, 6), np.float32)
    mask = rng.integers(0, 2**40, (3, *SIZE))
    map_ = warp(TURN, border=border)
    one, places = ImageWarp(map_, SIZE), coordinates(map_, SIZE, torch.device("cpu"))
    nearest = Nearest(places, SIZE, border)
    expected = warp_images(torch.from_numpy(image).permute(2, 0, 1)[None], places, border)[0].permute(1, 2, 0)
    np.testing.assert_allclose(one.image(image), expected, atol=0.05)  # OpenCV places to a 32nd of a pixel
    found, other = one.mask(mask), nearest(torch.from_numpy(mask)[None])[0].numpy()
    assert found.dtype == mask.dtype
    assert (found != other).mean() < 0.005
    if border == "reflect":
        assert one.valid() is None
    else:
        assert (one.valid() != nearest.inside[0].numpy()).mean() < 0.01
        assert not found[:, ~one.valid() & ~nearest.inside[0].numpy()].any()


def test_maps_are_not_mixed_with_the_outside():
    moved = ImageWarp(warp(TURN), SIZE)
    found = moved.numbers(np.full((2, *SIZE), 7.0, np.float16))
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.where(moved.valid(), 7, 0)[None].repeat(2, 0))


def test_boxes_are_those_of_the_device():
    boxes = np.array([[4, 6, 20, 30], [40, 2, 51, 9], [0, 0, 3, 3]], np.float32)
    found, seen = ImageWarp(warp(TURN), SIZE).boxes(boxes)
    expected, visible = warp_boxes(torch.from_numpy(boxes), coordinates(warp(TURN), SIZE, torch.device("cpu"))[0], SIZE)
    np.testing.assert_array_equal(seen, visible)
    np.testing.assert_array_equal(found, expected)


def test_maps_of_several_samples_are_refused():
    map_ = warp(TURN)
    with pytest.raises(ValueError, match="expected the map of one sample, got 2"):
        ImageWarp(map_._replace(matrix=map_.matrix.repeat(2, 0)), SIZE)
