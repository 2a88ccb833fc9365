import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from postprocessing import HysteresisThreshold


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.6), (0.5, 0.5), (0.0, 0.9), (0.2, 1.0)])
def test_equal_to_scikit_image(low, high):
    random = np.random.default_rng(0)
    for blur in (0, 1, 2):
        noise = ndimage.gaussian_filter(random.random((3, 40, 30)), (0, blur, blur))
        noise = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
        mask = HysteresisThreshold(low, high)({"mask": noise})["mask"]
        for plane, found in zip(noise, mask, strict=True):
            np.testing.assert_array_equal(found, apply_hysteresis_threshold(plane, np.float32(low), np.float32(high)))


def test_corners_join_if_asked_for():
    plane = np.array([[[0.9, 0.0], [0.0, 0.4]]], np.float32)
    assert HysteresisThreshold(0.3, 0.6)({"mask": plane})["mask"].sum() == 1
    assert HysteresisThreshold(0.3, 0.6, connectivity=2)({"mask": plane})["mask"].sum() == 2


def test_refusals():
    with pytest.raises(ValueError, match="low 0.7 and high 0.6"):
        HysteresisThreshold(0.7, 0.6)
    with pytest.raises(ValueError, match="connectivity is 3"):
        HysteresisThreshold(connectivity=3)
    with pytest.raises(ValueError, match="'mask', got bool"):
        HysteresisThreshold()({"mask": np.zeros((1, 2, 2), bool)})


def test_the_result_may_get_a_name_of_its_own():
    plane = np.full((1, 2, 2), 0.7, np.float32)
    result = HysteresisThreshold(output="body", result="mask")({"body": plane})
    assert result["body"] is plane
    assert result["mask"].all()
