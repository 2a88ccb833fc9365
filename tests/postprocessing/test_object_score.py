"""Instances that a second-level model does not believe in are dropped."""

import numpy as np
import pytest

from evaluation.metrics import InstanceAveragePrecision
from postprocessing import ObjectScore
from postprocessing.search import SearchImage, search

IDS = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [3, 3, 3, 0]], np.int32)


def test_low_scores_go_and_the_others_keep_their_ids():
    scores = np.array([0.2, 0.3, 0.9], np.float32)
    given = {"instances": IDS.copy(), "object_scores": scores}
    kept = ObjectScore(0.25)(given)["instances"]
    assert kept.tolist() == [[0, 0, 0, 2], [0, 0, 0, 2], [3, 3, 3, 0]]
    assert kept.dtype == np.int32
    np.testing.assert_array_equal(given["instances"], IDS)
    assert (ObjectScore(1.0)(given)["instances"] == 0).all()
    empty = {"instances": np.zeros((3, 4), np.int32), "object_scores": np.zeros(0, np.float32)}
    assert (ObjectScore()(empty)["instances"] == 0).all()


def test_scores_of_other_ids_are_refused():
    with pytest.raises(ValueError, match="ids up to 2"):
        ObjectScore()({"instances": IDS, "object_scores": np.zeros(2)})
    with pytest.raises(ValueError, match="mask or instances"):
        ObjectScore()({"instances": IDS + 0.5, "object_scores": np.zeros(3)})
    with pytest.raises(ValueError, match="object_scores"):
        ObjectScore()({"instances": IDS})


def test_search_finds_the_threshold():
    random = np.random.default_rng(0)

    def case(number):
        good = random.random(3) < 0.5
        scores = np.where(good, 0.56, 0.5) + random.uniform(-0.005, 0.005, 3)
        prediction = {"instances": IDS, "object_scores": scores.astype(np.float32)}
        truth = {"instances": np.where(np.concatenate([[False], good])[IDS], IDS, 0)}
        return SearchImage(str(number), lambda: prediction, lambda: truth)

    result = search([ObjectScore()], InstanceAveragePrecision(), [case(n) for n in range(12)], processes=1)
    assert result.cross_fitted == 1
    assert result.steps[0].threshold == 0.55
