import numpy as np
import pytest

from postprocessing import QuantileThreshold


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_of_every_channel(share):
    probabilities = np.random.default_rng(0).permutation(2 * 400).reshape(2, 20, 20).astype(np.float32) / 800 + 0.001
    mask = QuantileThreshold(share)({"mask": probabilities})["mask"]
    assert mask.sum((1, 2)).tolist() == [round(share * 400)] * 2
    for plane, found in zip(probabilities, mask, strict=True):
        assert not found.any() or found.all() or plane[found].min() > plane[~found].max()


def test_order_alone_decides_but_for_the_least():
    probabilities = np.random.default_rng(1).random((1, 30, 30), dtype=np.float32)
    mask = QuantileThreshold(0.2)({"mask": probabilities})["mask"]
    np.testing.assert_array_equal(QuantileThreshold(0.2)({"mask": probabilities**3 / 2})["mask"], mask)
    assert not QuantileThreshold(0.2, min_threshold=0.5)({"mask": probabilities**3 / 2})["mask"].any()
    np.testing.assert_array_equal(
        QuantileThreshold(1, min_threshold=0.5)({"mask": probabilities})["mask"], probabilities > 0.5
    )


def test_a_flat_image_has_no_mask():
    assert not QuantileThreshold(0.5)({"mask": np.full((1, 4, 4), 0.9, np.float32)})["mask"].any()


def test_refusals():
    with pytest.raises(ValueError, match="share 1.5"):
        QuantileThreshold(1.5)
    with pytest.raises(ValueError, match="'mask', got bool"):
        QuantileThreshold()({"mask": np.zeros((1, 2, 2), bool)})
    assert QuantileThreshold(0.8).search_space()["share"][-1] <= 1
