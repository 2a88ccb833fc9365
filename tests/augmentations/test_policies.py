"""Ready policies of timm and torchvision, on pictures with masks and boxes."""

import random as python_random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from augmentations import TimmPolicy
from augmentations.steps import Steps

GEOMETRIC = ("Shear", "Translate", "Rotate")
SIZE = (40, 56)


def random(seed=0):
    return np.random.default_rng(seed)


def coordinates(channels=3):
    """A picture whose first channels say where a pixel was (row, column + 1): outside is nowhere."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    planes = [rows + 1, columns + 1, rows * 0 + 99, rows * 0 + 1]
    return np.stack(planes[:channels], -1).astype(np.uint8)


def arrays():
    """Masks of every kind: each pixel has a number of its own, or a class of its own."""
    numbers = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    half = np.zeros(SIZE, bool)
    half[:, : SIZE[1] // 2] = True
    return {
        "mask": numbers.astype(np.uint16),
        "halves": np.stack([half, ~half]).astype(np.uint8),
        "deep": numbers.astype(np.int64) + 2**33,
        "boxes": np.array([[8, 4, 20, 16], [50, 30, 56, 40]], np.float32),
        "labels": np.array([3, 4]),
        "label": np.array(7),
    }


def run(step, image, given, seed=0):
    return Steps([step])(image, given, 255.0, seed, random(seed))


class Geometric(v2.RandAugment):
    """The geometric operations alone."""

    _AUGMENTATION_SPACE = {k: v for k, v in v2.RandAugment._AUGMENTATION_SPACE.items() if k.startswith(GEOMETRIC)}


class Colours(v2.TrivialAugmentWide):
    """The operations on colour alone."""

    _AUGMENTATION_SPACE = {
        name: how for name, how in v2.TrivialAugmentWide._AUGMENTATION_SPACE.items() if not name.startswith(GEOMETRIC)
    }


def timm_geometric():
    policy = TimmPolicy("rand-m9-n2-mstd0.5-p1")
    policy.transform.ops = [op for op in policy.transform.ops if op.operation.name.startswith(GEOMETRIC)]
    for op in policy.transform.ops:
        op.operation.kwargs = {"fillcolor": (0, 0, 0), "resample": 0}  # nearest, so that the picture tells its pixels
    return policy


@pytest.mark.parametrize("make", [timm_geometric, Geometric], ids=["timm", "torchvision"])
def test_masks_follow_what_moves_the_picture(make):
    """Where the picture says (row, column), the mask has the number of that pixel; outside it is 0 and not valid."""
    moved = 0
    for seed in range(12):
        image, found = run(make(), coordinates(), arrays(), seed)
        inside = image[..., 0] > 0
        numbers = (image[..., 0].astype(int) - 1) * SIZE[1] + image[..., 1] - 1
        expected = np.where(inside, numbers, 0)
        np.testing.assert_array_equal(found["mask"], expected)
        assert found["mask"].dtype == np.uint16
        assert found["deep"].dtype == np.int64
        np.testing.assert_array_equal(found["deep"], np.where(inside, numbers + 2**33, 0))
        np.testing.assert_array_equal(found["halves"][0], inside & (numbers % SIZE[1] < SIZE[1] // 2))
        assert found["label"] == 7
        if inside.all():
            assert "valid" not in found
        else:
            np.testing.assert_array_equal(found["valid"], inside)
        moved += not np.array_equal(image, coordinates())
        for label, box in zip(found["labels"], found["boxes"], strict=True):
            left, top, right, bottom = arrays()["boxes"][{3: 0, 4: 1}[int(label)]]
            rows, columns = numbers // SIZE[1], numbers % SIZE[1]
            held = inside & (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
            where = np.argwhere(held)
            assert box.tolist() == [*where.min(0)[::-1], *(where.max(0)[::-1] + 1)]
    assert moved > 8


@pytest.mark.parametrize("step", [TimmPolicy("3a"), Colours()], ids=["timm", "torchvision"])
def test_colour_alone_leaves_masks(step):
    image = random().integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    changed = 0
    for seed in range(8):
        given = arrays()
        result, found = run(step, image, given, seed)
        assert sorted(found) == sorted(given)
        assert all(np.array_equal(found[name], given[name]) for name in given)
        changed += not np.array_equal(result, image)
    assert changed > 4


POLICIES = [
    TimmPolicy("rand-m9-n2-mstd0.5-inc1"),
    TimmPolicy("original-mstd0.5"),
    v2.RandAugment(),
    v2.AutoAugment(),
    v2.TrivialAugmentWide(),
]


@pytest.mark.parametrize("step", POLICIES, ids=lambda step: getattr(step, "policy", type(step).__name__))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_decides_and_global_generators_go_on(step, channels):
    image = random().integers(0, 256, (*SIZE, channels), dtype=np.uint8)
    states = python_random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    results = [run(step, image, arrays(), seed) for seed in (0, 0, 1, 2, 3)]
    assert all(result.shape == image.shape and result.dtype == np.uint8 for result, _ in results)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1]["mask"], results[1][1]["mask"])
    assert len({result.tobytes() for result, _ in results}) > 2
    assert python_random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_what_no_mask_can_follow_is_refused():
    image = coordinates()
    for step in (TimmPolicy("augmix-m3-w3"), v2.AugMix()):
        with pytest.raises(ValueError, match="blends differently transformed images, which masks cannot follow"):
            run(step, image, arrays())
        result, _ = run(step, image, {"label": np.array(1)})
        assert result.shape == image.shape
    with pytest.raises(ValueError, match=r"put the policy directly into data\.augmentation"):
        run(v2.RandomApply([v2.RandAugment()], 1.0), image, arrays())
