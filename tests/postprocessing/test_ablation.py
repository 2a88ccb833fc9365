import numpy as np
import pytest

from evaluation.metrics import DicePerImage
from postprocessing import MinimumArea, Threshold
from postprocessing.ablation import StepAblation


def test_the_score_without_each_step():
    truth = np.zeros((1, 20, 20), np.uint8)
    truth[:, 5:15, 5:15] = 1
    probabilities = truth.astype(np.float32) * 0.9
    probabilities[0, 0, 0] = 0.9  # a speck
    gains = StepAblation([Threshold(), MinimumArea(20)], DicePerImage())
    gains.add("a", {"mask": probabilities}, {"mask": truth})
    without = gains.scores()
    assert np.isnan(without[0])  # there is no mask whose area could be measured
    assert without[1] == pytest.approx(200 / 201)
