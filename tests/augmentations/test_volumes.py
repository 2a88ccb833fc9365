"""The 48 isometries of a cube."""

import itertools

import numpy as np
import pytest
import torch

from augmentations import CubeIsometries
from augmentations.volumes import CUBE, IN_PLANE


def test_all_distinct_invertible_and_half_of_them_mirror_images():
    cube = torch.arange(27).view(3, 3, 3)
    results = [isometry.apply(cube) for isometry in CUBE]
    assert len({tuple(result.flatten().tolist()) for result in results}) == 48
    for isometry, result in zip(CUBE, results, strict=True):
        assert torch.equal(isometry.inverse().apply(result), cube)
        assert isometry.inverse() in CUBE
    assert sum(isometry.mirror_image for isometry in CUBE) == 24
    assert len(IN_PLANE) == 8


def test_mirror_images_are_those_of_negative_determinant():
    for isometry in CUBE:
        matrix = np.zeros((3, 3))
        for new, old in enumerate(isometry.order):
            matrix[new, old] = -1 if isometry.mirrored[new] else 1
        assert isometry.mirror_image == (np.linalg.det(matrix) < 0)


def test_every_one_is_drawn_and_image_and_mask_move_together():
    cube = torch.arange(64.0).view(1, 1, 4, 4, 4)
    kind = CubeIsometries()
    seen = set()
    for seed in range(300):
        found = kind.batch({"image": cube, "mask": (cube % 7 == 0).to(torch.uint8)}, 1.0, np.random.default_rng(seed))
        assert torch.equal(found["mask"] > 0, found["image"] % 7 == 0)
        assert torch.equal(found["image"].flatten().sort().values, cube.flatten())
        seen.add(tuple(found["image"].flatten().tolist()))
    assert len(seen) == 48


@pytest.mark.parametrize(
    ("size", "settings", "count"),
    [
        ((4, 4, 4), {}, 48),
        ((4, 4, 4), {"rotations_only": True}, 24),
        ((4, 4, 4), {"spacing": [2.5, 0.7, 0.7]}, 8),
        ((2, 4, 4), {"spacing": [2.5, 0.7, 0.7], "rotations_only": True}, 4),
        ((2, 4, 4), {}, 16),  # the slice axis cannot change places, but it can run backwards
        ((2, 3, 4), {}, 8),
        ((4, 4, 4), {"spacing": [1.0, 0.5, 0.7]}, 4),
    ],
)
def test_which_are_allowed(size, settings, count):
    allowed = CubeIsometries(**settings).allowed(size)
    assert len(allowed) == count
    volume = torch.rand(size)
    assert all(isometry.apply(volume).shape == volume.shape for isometry in allowed)
    for one, other in itertools.product(allowed, repeat=2):  # a group: two after one another are one of them
        moved = one.apply(other.apply(volume))
        assert any(torch.equal(moved, isometry.apply(volume)) for isometry in allowed)


def test_pictures_are_refused():
    with pytest.raises(ValueError, match="see Geometry"):
        CubeIsometries().batch({"image": torch.zeros(1, 3, 4, 4)}, 1.0, np.random.default_rng(0))
