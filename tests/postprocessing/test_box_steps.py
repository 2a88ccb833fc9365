"""Steps over boxes, and their search on predictions alone."""

import numpy as np
import pytest

from evaluation.metrics import BoxPrecision
from postprocessing import MinimumScore, MultiplyScores, NonMaximumSuppression, ShrinkBoxes
from postprocessing.search import search
from postprocessing.search_workers import SearchImage

BOXES = np.array(
    [[0, 0, 10, 10, 0.9, 0], [1, 0, 11, 10, 0.8, 0], [0, 0, 10, 10, 0.7, 1], [50, 50, 60, 70, 0.1, 0]], float
)


def after(step, boxes=BOXES, **more):
    return step({"boxes": np.asarray(boxes, np.float32), **more})["boxes"]


def test_weak_boxes_go():
    assert after(MinimumScore(0.15))[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert len(after(MinimumScore([0.85, 0.0]))) == 2
    assert len(after(MinimumScore(0.9))) == 0  # not above it
    with pytest.raises(ValueError, match="has 1 values, but a box has label 1"):
        after(MinimumScore([0.5]))


def test_of_overlapping_boxes_of_a_label_the_best_stays():
    assert after(NonMaximumSuppression(0.5))[:, 4].tolist() == pytest.approx([0.9, 0.7, 0.1])
    assert len(after(NonMaximumSuppression(0.9))) == 4
    soft = after(NonMaximumSuppression(method="gaussian"))
    assert len(soft) == 4
    assert sorted(soft[:, 4])[1] < 0.5
    with pytest.raises(ValueError, match="iou 2"):
        NonMaximumSuppression(2)


def test_boxes_shrink_about_their_centre():
    found = after(ShrinkBoxes(0.875))
    order = np.argsort(-BOXES[:, 4])
    np.testing.assert_allclose(found[:, :2] + found[:, 2:4], (BOXES[:, :2] + BOXES[:, 2:4])[order], rtol=1e-6)
    np.testing.assert_allclose(found[:, 2:4] - found[:, :2], 0.875 * (BOXES[:, 2:4] - BOXES[:, :2])[order], rtol=1e-6)
    np.testing.assert_allclose(after(ShrinkBoxes(1.0)), BOXES[order], rtol=1e-6)


def test_a_classifier_weighs_the_scores():
    assert not after(MultiplyScores(), label=np.zeros(1, np.float32))[:, 4].any()
    np.testing.assert_allclose(after(MultiplyScores(), label=np.ones(1, np.float32)), BOXES, rtol=1e-6)
    found = after(MultiplyScores(), label=np.array([0.5, 1.0], np.float32))
    assert sorted(found[:, 4]) == pytest.approx([0.05, 0.4, 0.45, 0.7])
    np.testing.assert_allclose(after(MultiplyScores(power=0), label=np.array([0.5], np.float32)), BOXES, rtol=1e-6)
    with pytest.raises(ValueError, match="has 1 probabilities|has 2 probabilities, but a box has label 2"):
        after(MultiplyScores(), BOXES + [0, 0, 0, 0, 0, 1], label=np.array([0.5, 1.0], np.float32))


def test_wrong_boxes_name_the_step():
    with pytest.raises(ValueError, match="ShrinkBoxes: 'boxes': boxes are"):
        after(ShrinkBoxes(), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="ShrinkBoxes requires 'boxes'"):
        ShrinkBoxes()({"mask": np.zeros((1, 2, 2))})


def test_the_order_is_free_and_matters():
    chain = [ShrinkBoxes(0.5), NonMaximumSuppression(0.79)]
    first = after(chain[1], after(chain[0]))
    second = after(chain[0], after(chain[1]))
    assert len(first) == 4
    assert len(second) == 3


def test_search_finds_the_planted_shrinkage_and_suppression():
    """Boxes are drawn 1/0.8 too large, each a second time a little aside; no network is there to be run."""
    random, cases = np.random.default_rng(0), []
    for number in range(16):
        corner = random.uniform(100, 300, 2)
        truth = np.array([*corner, *(corner + random.uniform(60, 120, 2))])
        centre, half = (truth[:2] + truth[2:]) / 2, (truth[2:] - truth[:2]) / 2 / 0.8
        large = np.array([*(centre - half), *(centre + half)])
        score = 0.3 + 0.04 * number
        aside = [*(large + 12), score - 0.02, 0]
        boxes = np.array([[*large, score, 0], aside, [400, 400, 450, 450, 0.05, 0]], np.float32)
        true = np.array([[*truth]], np.float32)
        cases.append(SearchImage(f"{number:02}", lambda b=boxes: {"boxes": b}, lambda t=true: {"boxes": t}))
    chain = [ShrinkBoxes(1.0), NonMaximumSuppression(0.8), MinimumScore(0.01)]
    found = search(chain, BoxPrecision(), cases, processes=1)
    assert found.before < 0.3
    assert found.cross_fitted > 0.95
    shrinkage, suppression, least = found.steps
    assert least.value >= 0.05
    assert suppression.iou < 0.75
    assert shrinkage.factor == pytest.approx(0.8, abs=0.03)
