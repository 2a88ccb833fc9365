import numpy as np
import pytest

from evaluation.metrics import DicePerImage
from postprocessing import Threshold
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def test_above_the_value_is_mask():
    probabilities = np.array([[[0.2, 0.5, 0.50001, 0.9]]], np.float32)
    mask = Threshold()({"mask": probabilities})["mask"]
    assert mask.dtype == bool
    assert mask.tolist() == [[[False, False, True, True]]]


def test_a_value_for_each_channel():
    probabilities = np.full((3, 2, 2), 0.5, np.float32)
    mask = Threshold([0.4, 0.5, 0.6], output="organs")({"organs": probabilities})["organs"]
    assert mask[:, 0, 0].tolist() == [True, False, False]
    empty = Threshold([0.1, 0.9], output="empty")({"empty": np.array([0.5, 0.5], np.float32)})["empty"]
    assert empty.tolist() == [True, False]


def test_the_result_may_get_a_name_of_its_own():
    probabilities = np.full((1, 2, 2), 0.7, np.float32)
    result = Threshold(output="body", result="mask")({"body": probabilities})
    assert result["body"] is probabilities
    assert result["mask"].all()


def test_metrics_find_the_mask():
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[0, :2] = 1
    metric = DicePerImage()
    metric.add("a", Threshold(0.3)({"mask": truth * np.float32(0.4)}), {"mask": truth})
    assert float(metric.compute()) == 1


def test_a_stored_probability_falls_on_the_side_it_came_from():
    """Thresholds are compared as float32, as the probabilities are: 0.3 must not differ from float32(0.3)."""
    value = np.full((1, 1, 1), 0.3, np.float32)
    assert not Threshold(0.3)({"mask": value})["mask"].any()
    assert not Threshold([0.3])({"mask": value})["mask"].any()


def case(name, probabilities, truth):
    return SearchImage(name, lambda: {"mask": probabilities}, lambda: {"mask": truth.astype(np.uint8)})


def test_the_search_finds_a_value_for_each_channel():
    random = np.random.default_rng(0)
    cases = []
    for number in range(6):
        probabilities = random.random((2, 16, 16), dtype=np.float32)
        truth = probabilities > np.array([0.3, 0.8], np.float32)[:, None, None]
        cases.append(case(str(number), probabilities, truth))
    result = search([Threshold([0.5, 0.5])], DicePerImage(), cases, processes=1)
    assert result.steps[0].value == pytest.approx([0.3, 0.8])
    assert result.cross_fitted > result.before
