"""Pairs of objects that share pixels, against every pair one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import object_overlaps as module
from evaluation.metrics import InstanceAveragePrecision, InstanceFBeta, SpaceNetF1
from evaluation.object_overlaps import object_overlaps

SEEDS = st.integers(0, 10**6)


def dense(predicted, true):
    """IoU of every pair `(true, predicted)`."""
    return np.array(
        [
            [
                ((true == one) & (predicted == two)).sum() / ((true == one) | (predicted == two)).sum()
                for two in np.unique(predicted[predicted > 0])
            ]
            for one in np.unique(true[true > 0])
        ]
    ).reshape(len(np.unique(true[true > 0])), len(np.unique(predicted[predicted > 0])))


@given(SEEDS, st.booleans())
def test_pairs_are_those_of_every_two_objects(seed, many):
    random = np.random.default_rng(seed)
    predicted, true = random.integers(0, 6, (2, 7, 9)) * random.choice([1, 3, 2**31 + 5, 2**60])
    with pytest.MonkeyPatch.context() as patch:
        if many:  # as where a joint histogram would be too large
            patch.setattr(module, "MAX_CELLS", 1)
        found = object_overlaps(predicted, true)
    expected = dense(predicted, true)
    table = np.zeros((len(found.true_areas), len(found.predicted_areas)))
    table[found.true, found.predicted] = found.iou
    np.testing.assert_allclose(table, expected)
    np.testing.assert_allclose(found.best_of_true(), expected.max(axis=1, initial=0))
    np.testing.assert_allclose(found.best_of_predicted(), expected.max(axis=0, initial=0))
    assert found.true_areas.tolist() == [(true == number).sum() for number in np.unique(true[true > 0])]


def test_70_000_objects_of_one_pixel():
    """A table of all pairs would take 39 GB."""
    true = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280)
    found = true.copy()
    found[:50] = 0  # 14,000 are missed
    found[240:] = true[240:, ::-1]  # numbered otherwise, which plays no part
    arrays = {"instances": found}, {"instances": true}
    assert InstanceAveragePrecision().image(*arrays)[0] == pytest.approx(0.8)
    assert InstanceFBeta(beta=1.0).image(*arrays)[0] == pytest.approx(2 * 0.8 / 1.8)
    assert SpaceNetF1(areas=None, min_area=1).image(*arrays).tolist() == [0, 56_000, 0, 14_000]
