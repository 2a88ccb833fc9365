"""Libraries side by side in a worker."""

import albumentations
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


def test_libraries_in_order():
    """A crop of one library, a mirror of another, a padding of the first again."""
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
