"""What every augmentation and every library's adapter is built on."""

import numpy as np
import pytest
import torch

from augmentations import ByClass, Colour, Geometry, Mixup, Stages, TimmPolicy
from augmentations.base import blanked_batch, flatten_steps, floats_of, masks_of, on_batch, spatial, uniform
from masks.void import VOID


def test_nested_augmentations_are_found_at_any_depth():
    inner, middle, outer = Geometry(), Colour(), torch.nn.Identity()
    stages = Stages({"none": [], "hard": [ByClass([inner, outer])], "soft": [middle]})
    assert list(flatten_steps([stages, outer])) == [stages, *flatten_steps(stages.children()), outer]
    assert [step for step in flatten_steps([stages]) if step in (inner, middle, outer)] == [inner, outer, middle]


def test_a_batch_goes_through_augmentations_in_order():
    batch = {"image": torch.arange(12.0).view(1, 1, 3, 4)}
    flips = [Geometry(hflip=1.0), Geometry(vflip=1.0)]
    found = on_batch(flips, batch, 255.0, np.random.default_rng(0))
    assert torch.equal(found["image"], batch["image"].flip(-1, -2))
    with pytest.raises(ValueError, match=r"Identity works on single images; put it into data\.augmentation"):
        on_batch([torch.nn.Identity()], batch, 255.0, np.random.default_rng(0))


def test_augmentations_that_need_a_batch_or_an_image_say_where_they_belong():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"Mixup works on batches; put it into model\.augmentation"):
        Mixup().sample(np.zeros((4, 4, 3)), {}, 255.0, rng)
    with pytest.raises(ValueError, match=r"TimmPolicy works on single images; put it into data\.augmentation"):
        TimmPolicy().batch({}, 255.0, rng)


def test_targets_of_a_batch_are_erased_where_nothing_counts():
    valid = torch.ones(2, 4, 5, dtype=torch.bool)
    valid[0, 1, 2] = False
    given = {
        "image": torch.ones(2, 3, 4, 5),
        "mask": torch.ones(2, 1, 4, 5, dtype=torch.uint8),
        "classes": torch.ones(2, 4, 5, dtype=torch.int64),
        "heat": torch.ones(2, 4, 5),
        "label": torch.ones(2, 5),
        "valid": valid,
    }
    found = blanked_batch(given)
    assert found["mask"][0, 0, 1, 2] == 0
    assert found["heat"][0, 1, 2] == 0
    assert found["classes"][0, 1, 2] == VOID
    assert sum(int((found[name] != given[name]).sum()) for name in ("mask", "heat", "classes")) == 3
    assert all(found[name] is given[name] for name in ("image", "label", "valid"))
    without = {name: value for name, value in given.items() if name != "valid"}
    assert blanked_batch(without) is without


def test_numbers_fill_their_range_or_are_its_ends():
    found = uniform(np.random.default_rng(0), -2, 3, (1000,))
    assert found.min() >= -2
    assert found.max() < 3
    assert abs(found.mean() - 0.5) < 0.2
    ends = uniform(np.random.default_rng(0), -2, 3, (1000,), extremes=True)
    assert set(ends) == {-2, 3}
    assert abs((ends == 3).mean() - 0.5) < 0.08


def test_masks_are_what_has_the_size_of_the_image():
    arrays = {
        "mask": np.zeros((2, 6, 8), np.uint8),
        "heat": np.zeros((6, 8), np.float32),
        "boxes": np.zeros((3, 4)),
        "label": np.zeros(5),
    }
    assert masks_of(arrays, (6, 8)) == ["mask", "heat"]
    assert floats_of(arrays, ["mask", "heat"]) == ["heat"]
    with pytest.raises(ValueError, match=r"the target 'points' has the shape \(7, 2\), its image \(6, 8\)"):
        masks_of(arrays | {"points": np.zeros((7, 2))}, (6, 8))


@pytest.mark.parametrize("size", [(4, 5), (3, 4, 5)])
def test_masks_of_a_batch(size):
    batch = {
        "image": torch.zeros(2, 1, *size),
        "mask": torch.zeros(2, 3, *size),
        "classes": torch.zeros(2, *size),
        "label": torch.zeros(2, 5),
        "boxes": [torch.zeros(1, 4)] * 2,
        "image_id": ["a", "b"],
    }
    assert spatial(batch) == ["mask", "classes"]
