"""Pictures stretched to their type's range."""

import numpy as np
import pytest

from preprocessing import Stretch


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_percentiles_become_black_and_white(dtype):
    image = np.random.default_rng(0).integers(20, 120, (50, 60, 3)).astype(dtype)
    found = Stretch(low=10, high=90).image(image)
    white = np.iinfo(dtype).max
    low, high = np.percentile(image, [10, 90])
    expected = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * white
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=1 if dtype == np.uint8 else white * 1e-5)
    assert (found.min(), found.max()) == (0, white)


def test_the_scale_of_a_scan_does_not_matter():
    scan = np.random.default_rng(1).integers(0, 800, (40, 40, 1)).astype(np.uint16)
    once, twice = Stretch().image(scan), Stretch().image(scan * 7 + 300)
    np.testing.assert_allclose(once.astype(float), twice.astype(float), atol=1)


def test_a_picture_of_one_value_is_black():
    assert not Stretch().image(np.full((4, 5, 1), 77, np.uint16)).any()


@pytest.mark.parametrize(("low", "high"), [(-1, 90), (50, 50), (0, 101)])
def test_percentiles_that_cannot_be(low, high):
    with pytest.raises(ValueError, match="expected 0 <= low < high <= 100"):
        Stretch(low, high)
