"""timm's policies by their strings; what they share with torchvision's is in `test_policies.py`."""

import numpy as np
import pytest

from augmentations import TimmPolicy
from augmentations.steps import Steps


def test_the_string_says_how_many_and_how_strong():
    transform = TimmPolicy("rand-m7-n3-p1").transform
    assert transform.num_layers == 3
    assert {op.operation.magnitude for op in transform.ops} == {7}
    assert {op.operation.prob for op in transform.ops} == {1.0}


def test_one_channel_stays_one_and_takes_the_same_operations():
    gray = np.random.default_rng(0).integers(0, 256, (24, 32, 1), dtype=np.uint8)
    changed = 0
    for seed in range(6):
        one, three = (
            Steps([TimmPolicy("rand-m9-n2")])(image, {}, 255.0, seed, np.random.default_rng(seed))[0]
            for image in (gray, np.repeat(gray, 3, axis=2))
        )
        np.testing.assert_array_equal(one, three[..., :1])
        changed += not np.array_equal(one, gray)
    assert changed > 2


def test_unknown_policies_and_images_that_timm_does_not_take():
    with pytest.raises(ValueError, match="unknown policy 'rnd-m9'"):
        TimmPolicy("rnd-m9")
    with pytest.raises(ValueError, match="TimmPolicy works on single images; put it into data.augmentation"):
        TimmPolicy().batch({}, 255.0, np.random.default_rng(0))
    for image in (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(ValueError, match="expected 8-bit images of 1 or 3 channels, got"):
            TimmPolicy().sample(image, {}, 255.0, np.random.default_rng(0))
    heat = {"heat": np.zeros((8, 8), np.float32)}
    with pytest.raises(ValueError, match="TimmPolicy samples targets by nearest neighbour, but the target 'heat'"):
        TimmPolicy().sample(np.zeros((8, 8, 3), np.uint8), heat, 255.0, np.random.default_rng(0))
