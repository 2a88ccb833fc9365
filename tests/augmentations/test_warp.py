"""Sampling on the device at given positions, against loops over pixels."""

import numpy as np
import pytest
import torch

from augmentations.warp import Nearest, warp_boxes, warp_images, warp_numbers

SIZE, OUT = (7, 9), (6, 8)


def places(x, y, size=SIZE):
    """Positions in pixels `(h, w)` as `coordinates` gives them, `(1, h, w, 2)`."""
    height, width = size
    return torch.from_numpy(np.stack([(x + 0.5) * 2 / width - 1, (y + 0.5) * 2 / height - 1], -1)[None]).float()


def positions(seed=0):
    """Some of them outside, none between two pixels."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-4, 12, OUT), rng.uniform(-4, 10, OUT)
    return np.floor(x) + rng.uniform(0.1, 0.4, OUT), np.floor(y) + rng.uniform(0.6, 0.9, OUT)


def folded(index, side):
    """An index mirrored at the outer edges of the pixels."""
    index = index % (2 * side)
    return 2 * side - 1 - index if index >= side else index


@pytest.mark.parametrize("border", ["constant", "reflect"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float32])
def test_nearest_pixels(border, dtype):
    x, y = positions()
    masks = torch.randint(0, 2 if dtype == torch.bool else 100, (1, 3, *SIZE)).to(dtype)
    nearest = Nearest(places(x, y), SIZE, border)
    found, fill = nearest(masks), nearest(masks[:, 0], 1)
    assert found.dtype == dtype
    outside = 0
    for row, column in np.ndindex(*OUT):
        i, j = int(np.rint(y[row, column])), int(np.rint(x[row, column]))
        inside = 0 <= i < SIZE[0] and 0 <= j < SIZE[1]
        if inside or border == "reflect":
            expected = masks[0, :, folded(i, SIZE[0]), folded(j, SIZE[1])]
            assert torch.equal(found[0, :, row, column], expected)
        else:
            outside += 1
            assert not found[0, :, row, column].any()
            assert fill[0, row, column] == 1
    assert (outside > 5) == (border == "constant")


def bilinear(plane, x, y):
    """Value at a position inside of the pixels' centres."""
    left, top = int(np.floor(x)), int(np.floor(y))
    right, down = x - left, y - top
    upper = plane[top, left] * (1 - right) + plane[top, left + 1] * right
    lower = plane[top + 1, left] * (1 - right) + plane[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def test_linear_interpolation_of_images_and_maps():
    x, y = positions(1)
    image = torch.rand(1, 2, *SIZE)
    at = places(x, y)
    nearest = Nearest(at, SIZE, "constant")
    images = warp_images(image, at, "constant")
    maps = warp_numbers(image.double(), at, "constant", nearest, torch.tensor([False]))
    assert maps.dtype == torch.float64
    seen = 0
    for row, column in np.ndindex(*OUT):
        if 0 <= x[row, column] < SIZE[1] - 1 and 0 <= y[row, column] < SIZE[0] - 1:
            expected = [bilinear(plane.numpy(), x[row, column], y[row, column]) for plane in image[0]]
            np.testing.assert_allclose(images[0, :, row, column], expected, atol=1e-5)
            np.testing.assert_allclose(maps[0, :, row, column], expected, atol=1e-5)
            seen += 1
    assert seen > 5
    assert not maps[0, :, ~nearest.inside[0]].any()


def test_maps_are_not_mixed_with_the_outside():
    """At the rim a constant image fades into the outside, a constant map stays what it is."""
    x, y = np.meshgrid(np.arange(9) + 0.3, np.arange(7) + 0.3)
    at = places(x, y)
    one = torch.ones(1, 1, *SIZE)
    nearest = Nearest(at, SIZE, "constant")
    assert warp_images(one, at, "constant")[..., -1].max() < 0.8
    assert torch.allclose(warp_numbers(one, at, "constant", nearest, torch.tensor([False])), one)
    exact = warp_numbers(torch.rand(1, 1, *SIZE), at, "constant", nearest, torch.tensor([True]))
    assert torch.equal(exact, nearest(exact))


def test_boxes_are_the_extent_of_what_they_hold():
    x, y = np.meshgrid(np.arange(9) - 2.0, np.arange(7) * 1.0)  # 2 pixels to the right
    boxes = torch.tensor([[1.0, 2, 4, 5], [7, 0, 9, 7], [8, 8, 9, 9]])
    found, seen = warp_boxes(boxes, places(x, y)[0], SIZE)
    assert seen.tolist() == [True, False, False]
    assert found[0].tolist() == [3, 2, 6, 5]
