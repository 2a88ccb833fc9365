"""A map means the same on the device and in a worker: what its definition says, written out pixel by pixel."""

import numpy as np
import pytest
import torch

from augmentations.maps import Warp
from augmentations.warp import coordinates
from augmentations.warp_cv2 import ImageWarp

OUT, IN = (24, 36), (30, 20)


def matrix(perspective=0.0):
    return np.array([[0.5, -0.2, 6.0], [0.3, 0.8, -2.0], [perspective, perspective / 2, 1.0]])


def warp(**parts):
    given = {"matrix": matrix()[None], "field": None, "columns": None, "rows": None, "radial": None} | parts
    return Warp(OUT, exact=np.array([False]), border="constant", **given)


def by_definition(map_):
    """Input position (x, y) of every output pixel, `(h, w, 2)`, without the field."""
    found = np.empty((*OUT, 2))
    height, width = OUT
    for row in range(height):
        for column in range(width):
            x, y = float(column), float(row)
            if map_.columns is not None:
                x, y = x + map_.columns[0, column], y + map_.rows[0, row]
            if map_.radial is not None:
                right, down = x - (width - 1) / 2, y - (height - 1) / 2
                pull = map_.radial[0] * (right**2 + down**2) / ((width**2 + height**2) / 4)
                x, y = x + right * pull, y + down * pull
            across, below, depth = map_.matrix[0] @ [x, y, 1]
            found[row, column] = across / depth, below / depth
    return found


RNG = np.random.default_rng(0)
PARTS = {
    "matrix": {},
    "perspective": {"matrix": matrix(0.004)[None]},
    "grid": {
        "columns": RNG.normal(0, 2, (1, OUT[1])).astype(np.float32),
        "rows": RNG.normal(0, 2, (1, OUT[0])).astype(np.float32),
    },
    "radial": {"radial": np.array([0.2], np.float32)},
}
PARTS["all"] = {name: value for part in PARTS.values() for name, value in part.items()}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_both_paths_follow_the_definition(parts):
    map_ = warp(**parts)
    expected = by_definition(map_)
    places = coordinates(map_, IN, torch.device("cpu"))[0].numpy()
    on_device = (places + 1) * np.array([IN[1], IN[0]]) / 2 - 0.5  # -1 and 1 are the outer edges
    np.testing.assert_allclose(on_device, expected, atol=2e-4)
    np.testing.assert_allclose(np.stack(np.broadcast_arrays(*ImageWarp(map_, IN).maps), -1), expected, atol=2e-4)


def test_the_field_is_added_last_in_input_pixels():
    """A constant field shifts all positions by itself, whatever the matrix does."""
    field = np.broadcast_to(np.array([3.0, -1.5], np.float32)[:, None, None], (1, 2, 4, 6)).copy()
    plain, bent = warp(), warp(field=field)
    moved = np.stack(ImageWarp(bent, IN).maps, -1) - np.stack(np.broadcast_arrays(*ImageWarp(plain, IN).maps), -1)
    np.testing.assert_allclose(moved, np.broadcast_to([3.0, -1.5], moved.shape), atol=1e-4)
    moved = coordinates(bent, IN, torch.device("cpu")) - coordinates(plain, IN, torch.device("cpu"))
    np.testing.assert_allclose(
        moved[0].numpy() * [IN[1] / 2, IN[0] / 2], np.broadcast_to([3.0, -1.5], (*OUT, 2)), atol=1e-4
    )
