"""albumentations' transforms on image, masks, maps of floats and boxes together."""

import albumentations
import cv2
import numpy as np
import pytest

from augmentations.albumentations_steps import Albumentations
from augmentations.steps import Steps


def run(steps, image, arrays=None, seed=0):
    return Albumentations(steps)(image, arrays or {}, seed)


def dull(channels):
    """An image of little contrast."""
    return np.random.default_rng(0).integers(100, 140, (64, 64, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_clahe_raises_contrast_and_leaves_masks(channels):
    image, mask = dull(channels), np.eye(64, dtype=np.uint8)
    result, found = run([albumentations.CLAHE(clip_limit=(4, 4), p=1.0)], image, {"mask": mask})
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert result.std() > 2 * image.std()
    np.testing.assert_array_equal(found["mask"], mask)
    if channels == 1:
        expected = cv2.createCLAHE(4.0, (8, 8)).apply(image[..., 0])
        np.testing.assert_array_equal(result[..., 0], expected)


def test_clahe_comes_with_its_chance():
    image, step = dull(3), albumentations.CLAHE(p=0.25)
    steps = Steps([step])
    changed = sum(
        not np.array_equal(steps(image, {}, 255.0, seed, np.random.default_rng(seed))[0], image) for seed in range(200)
    )
    assert abs(changed - 50) < 4.5 * np.sqrt(200 * 0.25 * 0.75)


def test_clahe_of_four_channels_says_what_to_do():
    with pytest.raises(TypeError, match=r"The image has 4: .* preprocessing\.Clahe under data\.preprocessing"):
        run([albumentations.CLAHE(p=1.0)], dull(4))


def test_samples_with_and_without_boxes():
    steps = Steps([albumentations.HorizontalFlip(p=1.0)])
    image = dull(3)
    boxes = {"boxes": np.array([[0, 0, 10, 20]], np.float32), "labels": np.array([1])}
    assert steps(image, boxes, 255.0, 0, np.random.default_rng(0))[1]["boxes"].tolist() == [[54, 0, 64, 20]]
    assert steps(image, {}, 255.0, 0, np.random.default_rng(0))[1] == {}


def test_the_seed_decides_whatever_ran_before():
    step = Albumentations([albumentations.Affine(rotate=(-40, 40), p=1.0), albumentations.GaussNoise(p=1.0)])
    image, mask = dull(3), np.arange(64 * 64, dtype=np.int32).reshape(64, 64)
    first = step(image, {"mask": mask}, 7)
    step(image, {}, 3)
    again, other = step(image, {"mask": mask}, 7), step(image, {"mask": mask}, 8)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1]["mask"], again[1]["mask"])
    assert not np.array_equal(first[1]["mask"], other[1]["mask"])


def test_what_lies_outside_or_was_erased_does_not_count():
    """A shift, and a dropout that fills masks: both leave pixels about which nothing is known."""
    mask = np.ones((64, 64), np.uint8)
    shift = albumentations.Affine(translate_px={"x": 10, "y": 0}, p=1.0)
    valid = run([shift], dull(3), {"mask": mask})[1]["valid"]
    assert not valid[:, :10].any()
    assert valid[:, 10:].all()
    dropout = albumentations.CoarseDropout((1, 1), (16, 16), (16, 16), fill_mask=0, p=1.0)
    found = run([dropout], dull(3), {"mask": mask})[1]
    assert (~found["valid"]).sum() == 16 * 16
    np.testing.assert_array_equal(found["mask"] > 0, found["valid"])


def test_a_box_that_is_cut_to_less_than_a_tenth_goes_with_its_label():
    arrays = {"boxes": np.array([[0, 0, 20, 20], [28, 28, 60, 60]], np.float32), "labels": np.array([5, 6])}
    found = run([albumentations.Crop(0, 0, 32, 32)], dull(3), arrays)[1]
    assert found["boxes"].tolist() == [[0, 0, 20, 20]]
    assert found["labels"].tolist() == [5]
