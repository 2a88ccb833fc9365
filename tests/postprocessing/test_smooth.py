import numpy as np
import pytest
from scipy import ndimage

from postprocessing import Smooth


def disc(radius):
    away = np.arange(-radius, radius + 1)
    return away[:, None] ** 2 + away**2 <= radius**2


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_equal_to_scipy(radius):
    random = np.random.default_rng(radius)
    for density in (0.3, 0.6, 0.9):
        mask = random.random((2, 30, 23)) < density
        opened, closed, median = (Smooth(kind, radius)({"mask": mask})["mask"] for kind in ("open", "close", "median"))
        for plane, *found in zip(mask, opened, closed, median, strict=True):
            element = disc(radius)
            eroded = ndimage.binary_erosion(plane, element, border_value=1)
            grown = ndimage.binary_dilation(plane, element)
            np.testing.assert_array_equal(found[0], ndimage.binary_dilation(eroded, element))
            np.testing.assert_array_equal(found[1], ndimage.binary_erosion(grown, element, border_value=1))
            np.testing.assert_array_equal(found[2], ndimage.median_filter(plane, 2 * radius + 1, mode="reflect"))


def test_probabilities_are_blurred():
    probabilities = np.random.default_rng(0).random((2, 40, 30), dtype=np.float32)
    blurred = Smooth("gaussian", 2)({"mask": probabilities})["mask"]
    for plane, found in zip(probabilities, blurred, strict=True):
        np.testing.assert_allclose(found, ndimage.gaussian_filter(plane, 2), atol=2e-3)
    assert blurred.dtype == np.float32


@pytest.mark.parametrize("operation", ["open", "close", "median"])
def test_radius_zero_and_constants_change_nothing(operation):
    mask = np.random.default_rng(0).random((1, 9, 9)) < 0.5
    assert Smooth(operation, 0)({"mask": mask})["mask"] is mask
    for constant in (np.zeros((1, 6, 6), bool), np.ones((1, 6, 6), bool)):
        np.testing.assert_array_equal(Smooth(operation, 3)({"mask": constant})["mask"], constant)


def test_refusals():
    with pytest.raises(ValueError, match="operation is 'blur'"):
        Smooth("blur")
    with pytest.raises(ValueError, match="radius -1"):
        Smooth(radius=-1)
    with pytest.raises(ValueError, match="gaussian expects probabilities"):
        Smooth("gaussian")({"mask": np.zeros((1, 4, 4), bool)})
    with pytest.raises(ValueError, match="open expects a bool mask"):
        Smooth("open")({"mask": np.zeros((1, 4, 4), np.float32)})
