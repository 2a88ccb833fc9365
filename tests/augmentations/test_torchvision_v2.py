"""torchvision's transforms of v2; what its policies share with timm's is in `test_policies.py`."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from augmentations.torchvision_v2 import LARGEST, apply_v2

SIZE = (40, 56)


def numbered():
    """An image, and a mask with a number of its own for each pixel."""
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return image, {"mask": np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)}


def test_a_crop_and_a_mirror_move_masks_too():
    image, arrays = numbered()
    step = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomCrop((24, 32)), v2.ColorJitter(0.3)])
    result, found = apply_v2(step, image, arrays, seed=3)
    assert result.shape == (24, 32, 3)
    mirrored = arrays["mask"][:, ::-1]
    row, column = np.argwhere(mirrored == found["mask"][0, 0])[0]
    np.testing.assert_array_equal(found["mask"], mirrored[row : row + 24, column : column + 32])
    assert "valid" not in found


@pytest.mark.parametrize("name", ["horizontal", "pad", "resize", "rotate"])
def test_maps_of_floats_move_as_the_image(name):
    step = {
        "horizontal": v2.RandomHorizontalFlip(1.0),
        "pad": v2.Pad(4, fill=9),
        "resize": v2.Resize((20, 28), antialias=False),
        "rotate": v2.RandomRotation((90, 90), expand=True),
    }[name]
    heat = np.random.default_rng(0).random((2, *SIZE), np.float32)
    image = heat.transpose(1, 2, 0)
    result, found = apply_v2(step, image, {"heat": heat}, seed=0)
    valid = found.get("valid", np.ones(result.shape[:2], bool))
    np.testing.assert_allclose(found["heat"][:, valid], result[valid].T, atol=1e-6)
    assert valid.all() == (name != "pad")


def test_the_generator_of_torch_goes_on():
    state = torch.get_rng_state()
    image, arrays = numbered()
    one, other = (apply_v2(v2.RandomResizedCrop((20, 20)), image, arrays, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_transforms_and_images_that_cannot_be():
    image, arrays = numbered()
    for step, message in (
        (torch.nn.Linear(1, 1), "Linear is not a transform of torchvision"),
        (v2.CutMix(num_classes=2), r"use augmentations.Cutmix under model\.augmentation"),
        (v2.MixUp(num_classes=2), r"use augmentations.Mixup under model\.augmentation"),
        (v2.ToDtype(torch.float32, scale=True), "ToDtype changes pixels from uint8 to float32"),
    ):
        with pytest.raises(ValueError, match=message):
            apply_v2(step, image, {}, seed=0)
    with pytest.raises(ValueError, match="expected 8-bit images of 1 or 3 channels, got 4 of uint8"):
        apply_v2(v2.RandAugment(), np.zeros((8, 8, 4), np.uint8), {}, seed=0)
    side = int(LARGEST**0.5) + 1
    large = np.broadcast_to(np.zeros(1, np.uint8), (side, side, 1))  # no memory of its own
    with pytest.raises(ValueError, match=rf"the image has {side} x {side} pixels, expected at most {LARGEST} in all"):
        apply_v2(v2.RandomHorizontalFlip(), large, {"mask": large[..., 0]}, seed=0)
