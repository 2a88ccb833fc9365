"""Rows of candidates by hand, and the way back to classes."""

import numpy as np
import pandas as pd
import pytest

from ensembling.stacking.cross_fit import cross_fit, divisions
from ensembling.stacking.models import Model, Target
from ensembling.stacking.top_k import expand, ranks_of
from evaluation.metrics import MeanAveragePrecisionAtK

# One image, three models, five classes; the two best of each.
HAND = {
    "a": np.array([[0.5, 0.3, 0.1, 0.06, 0.04]]),  # 0, 1
    "b": np.array([[0.1, 0.6, 0.05, 0.2, 0.05]]),  # 1, 3
    "c": np.array([[0.4, 0.1, 0.05, 0.4, 0.05]]),  # 0, 3: equal, the lower class first
}


def test_three_models_and_five_classes_by_hand():
    made = expand(HAND, 2, pd.DataFrame({"strokes": [7.0]}))
    assert made.candidate.tolist() == [0, 1, 3]
    assert made.table.owner.tolist() == [0, 0, 0]
    names = ["a.probability", "b.probability", "c.probability", "a.rank", "b.rank", "c.rank", "strokes"]
    assert made.table.names == names
    expected = [
        [0.5, 0.1, 0.4, 1, 3, 1, 7],
        [0.3, 0.6, 0.1, 2, 1, 3, 7],
        [0.06, 0.2, 0.4, 4, 2, 2, 7],
    ]
    np.testing.assert_allclose(made.table.values, expected, rtol=1e-6)
    assert made.target(np.array([3])).values[:, 0].tolist() == [0, 0, 1]
    assert made.found(np.array([3])) == 1


def test_a_true_class_that_no_model_names_has_zeros_and_stays_behind():
    made = expand(HAND, 2)
    truth = np.array([2])
    assert made.target(truth).values.sum() == 0
    assert made.found(truth) == 0
    result = made.probabilities(np.array([0.1, 0.2, 0.7]))
    assert result.shape == (1, 5)
    assert result.sum() == pytest.approx(1)
    # candidates share what the mean gives them, by their scores, and stand before all others
    np.testing.assert_allclose(result[0, [0, 1, 3]] / result[0, [0, 1, 3]].sum(), [0.1, 0.2, 0.7], rtol=1e-5)
    assert ranks_of(result)[0].tolist()[:2] == [3, 2]
    assert result[0, [2, 4]].max() < result[0, 0]
    assert result[0, 2] > 0
    # nobody says yes: the mean stays
    mean = made.probabilities(np.zeros(3))
    np.testing.assert_allclose(mean[0, [0, 1, 3]], made.mean[0, [0, 1, 3]], rtol=1e-5)


def test_all_classes_as_candidates_give_the_scores_back():
    random = np.random.default_rng(0)
    members = {name: random.dirichlet(np.ones(4), 6) for name in "ab"}
    made = expand(members, 4)
    assert len(made.candidate) == 24
    scores = random.random(24)
    own = scores.reshape(6, 4)
    np.testing.assert_allclose(made.probabilities(scores), own / own.sum(1, keepdims=True), rtol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="--k is 0"):
        expand(HAND, 0)
    with pytest.raises(ValueError, match="for common candidates"):
        expand(HAND | {"d": np.ones((1, 3))}, 2)
    with pytest.raises(ValueError, match="negative, or all 0"):
        expand({"a": np.zeros((1, 5))}, 2)


def map3(probabilities, truth):
    metric = MeanAveragePrecisionAtK(k=3)
    for number, (own, true) in enumerate(zip(probabilities, truth, strict=True)):
        metric.add(str(number), {"label": own}, {"label": np.array(true)})
    return float(metric.compute())


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 25, "max_leaf_nodes": 8}),
        ("lightgbm.LGBMClassifier", {"n_estimators": 25, "num_leaves": 8, "n_jobs": 1}),  # Quick, Draw!, 1st place
        ("catboost.CatBoostClassifier", {"iterations": 60, "learning_rate": 0.1, "depth": 4, "thread_count": 1}),
    ],
)
def test_map3_out_of_fold_is_better_than_each_model_and_their_mean(path, arguments):
    """Of models of equal worth one is far too sure of itself: the mean follows it, a second level does not."""
    random = np.random.default_rng(1)
    images, classes = 400, 12
    truth = random.integers(classes, size=images)
    members = {}
    for name, sureness in (("a", 0.5), ("b", 1.0), ("c", 8.0)):
        logits = random.normal(size=(images, classes))
        logits[np.arange(images), truth] += 1.5
        logits *= sureness
        members[name] = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    made = expand(members, 5)
    assert 0.8 < made.found(truth) < 1
    pytest.importorskip(path.split(".")[0])
    model = Model(path, arguments)
    ids = [str(number) for number in range(images)]
    fold = next(divisions(ids, {}, Target("class", truth, classes), 2, 1))
    scores = cross_fit(made.table, made.target(truth), {}, model, fold, 0)["val"]
    stacked = map3(made.probabilities(scores[:, 0]), truth)
    best = max(map3(one, truth) for one in [*members.values(), np.mean(list(members.values()), axis=0)])
    assert stacked > best + 0.02
