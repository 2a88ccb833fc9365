"""Metrics with classes say the score of each."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from evaluation.metrics import Accuracy, AreaUnderROC, DiceGlobal, DicePerImage, FBeta, IoUGlobal, IoUPerImage

RANDOM = np.random.default_rng(0)
TRUE = RANDOM.integers(0, 2, (40, 3))
PREDICTED = RANDOM.integers(0, 2, (40, 3)).astype(bool)
MASKS = RANDOM.integers(0, 2, (6, 3, 8, 8)).astype(bool), RANDOM.integers(0, 2, (6, 3, 8, 8)).astype(bool)


@pytest.mark.parametrize("average", ["macro", "micro", "samples"])
def test_f1_of_each_class(average):
    metric = FBeta(average=average)
    metric.update(PREDICTED, TRUE)
    assert metric.by_class() == pytest.approx(f1_score(TRUE, PREDICTED, average=None))


def test_area_of_each_class_and_no_area_where_all_are_positive():
    predicted, true = RANDOM.random((40, 3)), TRUE.copy()
    true[:, 2] = 1
    metric = AreaUnderROC()
    metric.update(predicted, true)
    found = metric.by_class()
    assert found[:2] == pytest.approx([roc_auc_score(true[:, k], predicted[:, k]) for k in range(2)])
    assert np.isnan(found[2])
    assert float(metric.compute()) == pytest.approx(np.mean(found[:2]))


@pytest.mark.parametrize("kind", [DicePerImage, DiceGlobal, IoUPerImage, IoUGlobal])
def test_each_channel_is_scored_as_if_it_were_alone(kind):
    metric = kind()
    metric.update(*MASKS)
    for channel, score in enumerate(metric.by_class()):
        alone = kind()
        alone.update(*(masks[:, channel : channel + 1] for masks in MASKS))
        assert score == pytest.approx(float(alone.compute()))
    assert float(metric.compute()) == pytest.approx(np.mean(metric.by_class()))


def test_metrics_without_classes_have_none():
    metric = Accuracy(classes=3)
    metric.update(np.array([0, 1]), np.array([0, 2]))
    assert metric.by_class() == []
