import numpy as np
import pytest

from evaluation.metrics import DicePerImage
from postprocessing import TripletThreshold
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def image(sure, likely, side=20):
    """`sure` pixels of 0.8, `likely` of 0.4, the rest of 0.1."""
    plane = np.full(side * side, 0.1, np.float32)
    plane[:sure], plane[sure : sure + likely] = 0.8, 0.4
    return plane.reshape(1, side, side)


def case(name, probabilities, truth):
    return SearchImage(name, lambda: {"mask": probabilities}, lambda: {"mask": truth.astype(np.uint8)})


@pytest.mark.parametrize(("sure", "found"), [(49, 0), (50, 80), (51, 81)])
def test_the_area_decides_and_the_low_threshold_draws(sure, found):
    mask = TripletThreshold(0.75, 50, 0.3)({"mask": image(sure, 30)})["mask"]
    assert mask.dtype == bool
    assert mask.sum() == found


def test_thresholds_are_exceeded_not_reached():
    plane = np.array([[[0.75, 0.3, 0.31]]], np.float32)
    assert not TripletThreshold(0.75, 1, 0.3)({"mask": plane})["mask"].any()
    assert TripletThreshold(0.74, 1, 0.3)({"mask": plane})["mask"].tolist() == [[[True, False, True]]]


def test_channels_are_decided_one_by_one_and_nothing_sure_is_nothing():
    both = np.concatenate([image(49, 30), image(50, 30)])
    assert TripletThreshold(0.75, 50, 0.3)({"mask": both})["mask"].sum((1, 2)).tolist() == [0, 80]
    assert not TripletThreshold(0.75, 0, 0.3)({"mask": image(0, 30)})["mask"].any()
    result = TripletThreshold(0.75, 1, 0.3, output="body", result="mask")({"body": both})
    assert result["body"] is both


def test_the_area_scales_with_the_resolution():
    step = TripletThreshold(0.75, 50, 0.3, at=20)
    for sure in (49, 50):
        small = image(sure, 30)
        large = small.repeat(3, 1).repeat(3, 2)
        found = step({"mask": small})["mask"]
        np.testing.assert_array_equal(step({"mask": large})["mask"], found.repeat(3, 1).repeat(3, 2))
        assert found.any() == (sure == 50)
    assert not step({"mask": image(50, 30, side=40)})["mask"].any()


def test_the_search_finds_the_planted_values():
    """Positives have 60 sure pixels and their likely ones; negatives 40 of 0.8 that are none."""
    cases = []
    for number in range(12):
        positive = number % 2 == 0
        plane = image(60 if positive else 40, 30)
        truth = (plane > 0.3) & positive
        cases.append(case(f"{number:02}", plane, truth))
    result = search([TripletThreshold(0.55, 100, 0.5)], DicePerImage(), cases, processes=1)
    (best,) = result.steps
    assert result.in_sample == 1
    assert 40 < best.area <= 60
    assert best.top < 0.8
    assert 0.1 <= best.bottom < 0.4


@pytest.mark.parametrize("values", [(0.3, 5, 0.5), (1.2, 5, 0.5), (0.7, -1, 0.5), (0.7, 5, -0.1)])
def test_refused_values(values):
    with pytest.raises(ValueError, match="TripletThreshold"):
        TripletThreshold(*values)


def test_a_mask_is_refused():
    with pytest.raises(ValueError, match="'mask', got bool"):
        TripletThreshold()({"mask": np.zeros((1, 2, 2), bool)})
