"""Libraries side by side in a worker; CLAHE as augmentation on any number of channels."""

import albumentations
import cv2
import numpy as np
import pytest
from torchvision.transforms import v2

from augmentations import Geometry
from augmentations.steps import Steps


def run(steps, image, arrays=None, seed=0):
    return Steps(steps)(image, arrays or {}, 255.0, seed, np.random.default_rng(seed))


def dull(channels):
    """A picture of little contrast."""
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


def test_libraries_in_order():
    """A crop of one library, a mirror of another, a padding of the first again."""
    from torchvision.transforms import v2

    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64, 1)
    steps = [
        albumentations.Crop(8, 4, 40, 36),
        Geometry(hflip=1.0),
        v2.RandomVerticalFlip(1.0),
        albumentations.PadIfNeeded(48, 48, border_mode=0, position="top_left"),
    ]
    result, found = run(steps, image, {"mask": image[..., 0].astype(np.int64)})
    expected = np.zeros((48, 48), np.uint16)
    expected[:32, :32] = image[4:36, 8:40, 0][::-1, ::-1]
    np.testing.assert_array_equal(result[..., 0], expected)
    np.testing.assert_array_equal(found["mask"], expected)


def test_samples_with_and_without_boxes():
    steps = Steps([albumentations.HorizontalFlip(p=1.0)])
    image = dull(3)
    boxes = {"boxes": np.array([[0, 0, 10, 20]], np.float32), "labels": np.array([1])}
    assert steps(image, boxes, 255.0, 0, np.random.default_rng(0))[1]["boxes"].tolist() == [[54, 0, 64, 20]]
    assert steps(image, {}, 255.0, 0, np.random.default_rng(0))[1] == {}


@pytest.mark.parametrize(
    "step", [albumentations.HorizontalFlip(p=1.0), Geometry(hflip=1.0), v2.RandomHorizontalFlip(p=1.0)]
)
def test_truth_that_cannot_move_is_refused(step):
    """Not left where it was, and not moved as if it were a picture."""
    arrays = {"mask": np.zeros((64, 64), np.uint8), "keypoints": np.zeros((5, 2), np.float32)}
    with pytest.raises(
        ValueError, match=r"the target 'keypoints' has the shape \(5, 2\), its image \(64, 64\), .* Draw points"
    ):
        run([step], dull(3), arrays)
    found = run([step], dull(3), {"label": np.zeros(3, np.float32), "boxes": np.array([[0, 0, 9, 9.0]], np.float32)})[1]
    np.testing.assert_allclose(found["boxes"], [[55, 0, 64, 9]])
