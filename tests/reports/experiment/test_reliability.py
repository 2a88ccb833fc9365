import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from reports.experiment.reliability import ProbabilityHistogram, channels_of
from reports.experiment.sections import add_probabilities
from reports.page import Report


@pytest.fixture
def counted():
    random = np.random.default_rng(0)
    probabilities = np.rint(255 * random.random((3, 2, 20, 30))) / 255
    truth = random.random(probabilities.shape) < probabilities**2
    reliability = ProbabilityHistogram(2)
    for one, other in zip(probabilities, truth, strict=True):
        reliability.add(one.astype(np.float32), other)
    return reliability, probabilities, truth


def test_dice_and_auc_equal_scikit_learn(counted):
    reliability, probabilities, truth = counted
    for channel in range(2):
        p, y = probabilities[:, channel].ravel(), truth[:, channel].ravel()
        for place in (0, 30, 128, 254):
            assert reliability.dice()[channel, place] == pytest.approx(f1_score(y, p > (place + 0.5) / 255))
        assert reliability.auc()[channel] == pytest.approx(roc_auc_score(y, p))
        assert reliability.prevalence()[channel] == pytest.approx(y.mean())


def test_probabilities_that_mean_what_they_say_are_calibrated():
    random = np.random.default_rng(0)
    p = random.random((1, 400, 400))
    honest, squared = ProbabilityHistogram(1), ProbabilityHistogram(1)
    honest.add(p, random.random(p.shape) < p)
    squared.add(p, random.random(p.shape) < p**2)
    assert honest.calibration_error()[0] < 0.01
    assert squared.calibration_error()[0] == pytest.approx(1 / 6, abs=0.01)  # the integral of p - p²
    mean, positive, share = squared.calibration()
    np.testing.assert_allclose(positive[0], mean[0] ** 2, atol=0.03)
    assert share.sum() == pytest.approx(1)


def test_what_is_not_valid_does_not_count_and_a_class_without_truth_has_no_dice():
    reliability = ProbabilityHistogram(1)
    valid = np.array([[True, False]])
    reliability.add(np.array([[[0.2, 0.9]]]), np.array([[[False, True]]]), valid)
    assert reliability.counts.sum() == 1
    assert np.isnan(reliability.dice()).all()
    assert np.isnan(reliability.auc()[0])


def test_truths_of_every_kind():
    probabilities = np.zeros((3, 2, 2), np.float32)
    classes = np.array([[0, 1], [2, 255]], np.uint8)
    truth, valid = channels_of(probabilities, classes)
    assert truth.sum() == 3
    assert valid.tolist() == [[True, True], [True, False]]
    masks, valid = channels_of(probabilities, np.ones((3, 2, 2), np.uint8))
    assert masks.all()
    assert valid is None
    ids, _ = channels_of(probabilities[:1], np.array([[0, 7], [3, 0]]))
    assert ids.tolist() == [[[False, True], [True, False]]]
    label, _ = channels_of(np.zeros(3, np.float32), np.array([2]))
    assert label.tolist() == [False, False, True]
    assert channels_of(probabilities, np.zeros((5, 2, 2))) is None
    with pytest.raises(ValueError, match="expected both to have 3 channels"):
        ProbabilityHistogram(3).add(probabilities[:2], np.zeros((2, 2, 2), bool))


def test_an_area_below_one_half_is_a_problem_if_it_is_not_chance():
    rng = np.random.default_rng(0)
    texts = []
    for sign in (1, 0, -1):
        histogram, report = ProbabilityHistogram(2), Report("x", "y")
        for _ in range(60):
            target = rng.random(2) < 0.5
            histogram.add(np.clip(0.5 + sign * 0.2 * (target - 0.5) + rng.normal(0, 0.1, 2), 0, 1), target)
        add_probabilities(report, {"label": histogram}, ["cat", "dog"])
        assert "<td>dog</td>" in report.html()
        texts.append([f.text for f in report.findings if "below 0.5" in f.text and f.level == "problem"])
    assert [len(found) for found in texts] == [0, 0, 2]
    assert texts[2][0].startswith("ROC AUC of `cat` is 0.")
