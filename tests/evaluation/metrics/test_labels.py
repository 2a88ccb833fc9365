"""Metrics of image-level labels equal scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, fbeta_score, log_loss, roc_auc_score

from evaluation.metrics import (
    Accuracy,
    AreaUnderROC,
    FBeta,
    LogLoss,
    MeanAbsoluteError,
    QuadraticWeightedKappa,
)

CLASSES = 28


def lists(seed=0, count=60, classes=CLASSES):
    """Predicted and true labels `(N, K)`; class 3 is nowhere, class 5 never predicted, an image without any."""
    random = np.random.default_rng(seed)
    predicted, true = random.random((2, count, classes)) < 0.1
    predicted[:, [3, 5]] = true[:, 3] = False
    predicted[0] = true[0] = False
    return predicted, true


def fed(metric, predicted, true, size=7):
    """The metric after all images, `size` at a time."""
    for start in range(0, len(predicted), size):
        metric.update(list(predicted[start : start + size]), list(true[start : start + size]))
    return float(metric.compute())


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["macro", "micro", "samples"]), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 1000))
def test_fbeta_equals_sklearn(average, beta, seed):
    predicted, true = lists(seed)
    expected = fbeta_score(true, predicted, beta=beta, average=average, zero_division=0)
    assert fed(FBeta(average, beta), predicted, true.astype(np.float32)) == pytest.approx(expected, abs=1e-12)


def test_fbeta_of_the_empty_by_argument():
    predicted, true = lists()
    per_class = fbeta_score(true, predicted, beta=1, average=None, zero_division=np.nan)
    assert np.isnan(per_class[3])
    assert fed(FBeta(empty=float("nan")), predicted, true) == pytest.approx(np.nanmean(per_class))
    per_image = FBeta("samples", empty=1.0)
    assert per_image.image_score(per_image.image({"label": predicted[0]}, {"label": true[0]})) == 1


def test_fbeta_of_single_classes_is_that_of_flags():
    random = np.random.default_rng(0)
    predicted, true = random.integers(0, 4, (2, 50))
    expected = fbeta_score(true, predicted, beta=2, average="macro")
    assert fed(FBeta(beta=2, classes=4), predicted, true) == pytest.approx(expected)


def test_accuracy_of_every_kind_of_class():
    random = np.random.default_rng(0)
    predicted, true = random.integers(0, 5, (2, 40))
    expected = accuracy_score(true, predicted)
    kinds = {
        "number": lambda n: np.array(n),
        "one": lambda n: np.array([n]),
        "flags": lambda n: np.arange(5) == n,
        "grades": lambda n: n > np.arange(4),
    }
    for one in kinds.values():
        for other in kinds.values():
            pairs = [one(n) for n in predicted], [other(n) for n in true]
            assert fed(Accuracy(5), *pairs) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_kappa_equals_sklearn(classes, seed):
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, 30)
    predicted = np.clip(true + random.integers(-1, 2, 30), 0, classes - 1)
    expected = cohen_kappa_score(true, predicted, weights="quadratic", labels=range(classes))
    assert fed(QuadraticWeightedKappa(classes), predicted, true) == pytest.approx(expected, abs=1e-12)


def test_kappa_of_grades_as_answers_and_of_a_constant():
    random = np.random.default_rng(0)
    predicted, true = random.integers(0, 5, (2, 40))
    answers = [n > np.arange(4) for n in predicted], [(n > np.arange(4)).astype(np.float32) for n in true]
    assert fed(QuadraticWeightedKappa(), *answers) == pytest.approx(
        cohen_kappa_score(true, predicted, weights="quadratic")
    )
    assert fed(QuadraticWeightedKappa(), [np.array(2)] * 3, [np.array(2)] * 3) == 1
    metric = QuadraticWeightedKappa()
    scores = [metric.image_score(np.array([0.0, n])) for n in range(5)]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1]) == (1, 0)


def test_mean_absolute_error_of_numbers():
    random = np.random.default_rng(0)
    predicted, true = random.normal(3, 2, (2, 20, 3)).astype(np.float32)
    expected = np.abs(predicted.astype(np.float64) - true).mean()
    assert fed(MeanAbsoluteError(), predicted, true) == pytest.approx(expected)
    assert not MeanAbsoluteError.higher_is_better
    with pytest.raises(ValueError, match=r"prediction 'label' is \(2,\), target 'label' \(3,\)"):
        fed(MeanAbsoluteError(), predicted[:, :2], true)


def test_log_loss_of_one_class_equals_sklearn():
    random = np.random.default_rng(0)
    predicted = random.dirichlet(np.ones(3), 50).astype(np.float32)
    true = random.integers(0, 3, 50)
    expected = log_loss(true, predicted.astype(np.float64) / predicted.sum(1, keepdims=True, dtype=np.float64))
    assert fed(LogLoss(), predicted, true) == pytest.approx(expected, rel=1e-9)
    # scaled to sum 1, as the competition does; one-hot truth is the same truth
    assert fed(LogLoss(), predicted / 2, np.eye(3, dtype=np.float32)[true]) == pytest.approx(expected, rel=1e-6)
    weights = [1.0, 2.0, 0.5]
    weighted = log_loss(
        true,
        predicted.astype(np.float64) / predicted.sum(1, keepdims=True, dtype=np.float64),
        sample_weight=np.array(weights)[true],
    )
    assert fed(LogLoss(weights=weights), predicted, true) == pytest.approx(weighted, rel=1e-9)
    assert not LogLoss.higher_is_better


def test_log_loss_of_several_classes_equals_sklearn():
    random = np.random.default_rng(0)
    predicted = random.random((50, 6)).astype(np.float32)
    true = random.random((50, 6)) < 0.3
    weights = np.array([1, 1, 1, 1, 1, 2.0])
    each = [log_loss(t, p.astype(np.float64), labels=[False, True]) for t, p in zip(true.T, predicted.T, strict=True)]
    assert fed(LogLoss(multilabel=True), predicted, true) == pytest.approx(np.mean(each), rel=1e-9)
    metric = LogLoss(multilabel=True, weights=weights.tolist())
    assert fed(metric, predicted, true) == pytest.approx(np.average(each, weights=weights), rel=1e-9)


def test_log_loss_is_finite_where_it_is_surely_wrong():
    assert fed(LogLoss(), [np.array([1.0, 0, 0])], [np.array(2)]) == pytest.approx(-np.log(1e-15))
    assert fed(LogLoss(multilabel=True), [np.zeros(1)], [np.ones(1)]) == pytest.approx(-np.log(1e-15))
    assert fed(LogLoss(), [np.zeros(3)], [np.array(0)]) == pytest.approx(-np.log(1e-15))


def test_area_under_roc_equals_sklearn():
    random = np.random.default_rng(0)
    true = random.random((80, 6)) < 0.3
    predicted = np.round(np.clip(0.3 * true + random.random((80, 6)), 0, 1), 1)  # with ties
    expected = roc_auc_score(true, predicted, average="macro")
    assert fed(AreaUnderROC(), predicted, true) == pytest.approx(expected)
    numbers, shares = random.integers(0, 3, 80), random.dirichlet(np.ones(3), 80)
    several = roc_auc_score(numbers, shares, multi_class="ovr", average="macro")
    assert fed(AreaUnderROC(), shares, numbers) == pytest.approx(several)


def test_a_class_without_positives_has_no_area():
    random = np.random.default_rng(0)
    true, predicted = random.random((30, 3)) < 0.5, random.random((30, 3))
    true[:, 1] = False
    expected = roc_auc_score(true[:, [0, 2]], predicted[:, [0, 2]])
    assert fed(AreaUnderROC(), predicted, true) == pytest.approx(expected)
    assert np.isnan(fed(AreaUnderROC(), predicted, true & False))


@pytest.mark.parametrize(
    ("metric", "predicted", "true", "message"),
    [
        (FBeta(), np.full(3, 0.4, np.float32), np.ones(3), "LabelThreshold"),
        (FBeta(), np.ones(3, bool), np.full(3, 0.5), r"target 'label' holds \[0.5\]"),
        (FBeta(), np.ones(3, bool), np.ones(4), "3 classes, target 'label' 4"),
        (FBeta(), np.array(2), np.array(1), "for class numbers set classes"),
        (FBeta(classes=4), np.ones(3, bool), np.ones(3), "has 3 flags, expected 4"),
        (Accuracy(3), np.array([0.2, 0.3, 0.5]), np.array(1), "ArgMax"),
        (Accuracy(3), np.array(3), np.array(1), "is class 3, expected 0 to 2"),
        (Accuracy(3), np.array([1, 1, 0], bool), np.array(1), "has 2 classes, expected one"),
        (QuadraticWeightedKappa(5), np.ones(3, bool), np.array(1), r"expected a class number \(\)"),
        (QuadraticWeightedKappa(5), np.array(1), np.array(0.5), "expected a class number"),
        (LogLoss(), np.ones(3, bool), np.array(1), "remove the post-processing step"),
        (LogLoss(), np.array([0.5, np.nan, 0.2]), np.array(1), "ranges from nan"),
        (LogLoss(weights=[1.0, 2.0]), np.full(3, 1 / 3), np.array(1), "2 values, expected 3"),
        (LogLoss(multilabel=True), np.full(3, 0.3), np.ones(2), "3 classes, target 'label' 2"),
        (AreaUnderROC(), np.array([1.5, 0.2]), np.ones(2), "expected probabilities in 0..1"),
        (AreaUnderROC(output="answer"), np.ones(2), np.ones(2), r"requires 'answer' in the prediction.*\['label'\]"),
    ],
)
def test_wrong_kinds_are_told(metric, predicted, true, message):
    with pytest.raises(ValueError, match=message):
        metric.image({"label": predicted}, {"label": true})
