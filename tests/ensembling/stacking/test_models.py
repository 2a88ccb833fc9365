"""Any library's classes, each kind of truth, and what is refused."""

import numpy as np
import pytest

from ensembling.stacking.models import Model, Target

CLASSIFIERS = {
    "sklearn.linear_model.LogisticRegression": {},
    "xgboost.XGBClassifier": {"n_estimators": 10, "n_jobs": 1},
    "lightgbm.LGBMClassifier": {"n_estimators": 10, "n_jobs": 1, "min_child_samples": 5},
    "catboost.CatBoostClassifier": {"iterations": 10, "thread_count": 1},
}
REGRESSORS = {
    "sklearn.linear_model.Ridge": {},
    "xgboost.XGBRegressor": {"n_estimators": 20, "n_jobs": 1},
    "lightgbm.LGBMRegressor": {"n_estimators": 20, "n_jobs": 1, "min_child_samples": 5},
    "catboost.CatBoostRegressor": {"iterations": 20, "thread_count": 1},
}


def data(seed=0, rows=150):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)).astype(np.float32)
    return x, x[:, :3].argmax(axis=1)


def built(path, arguments, clip=0.0):
    pytest.importorskip(path.split(".")[0])
    return Model(path, arguments, clip)


@pytest.mark.parametrize(("path", "arguments"), CLASSIFIERS.items())
def test_classes_and_flags_by_classifiers_of_four_libraries(path, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, (x, y), (other, truth) = built(path, arguments), data(), data(1)
    found, none = model.fit_predict(x, Target("class", y, 3), [other, other[:0]])
    assert found.shape == (150, 3)
    assert none.shape == (0, 3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert (found.argmax(1) == truth).mean() > 0.6
    # the truth's classes 0 and 2 alone: what never occurred is never predicted
    gap = model.fit_predict(x[y != 1], Target("class", y[y != 1], 3), [other])[0]
    assert (gap[:, 1] == 0).all()
    flags = np.stack([y == 0, y != 0, y >= 0], axis=1).astype(np.float32)
    found = model.fit_predict(x, Target("flags", flags, 3), [other])[0]
    assert ((found[:, 0] > 0.5) == (truth == 0)).mean() > 0.75
    np.testing.assert_allclose(found[:, 0] + found[:, 1], 1, atol=0.2)
    assert (found[:, 2] == 1).all()  # a constant is not learned
    assert not list(tmp_path.iterdir())  # CatBoost would leave a folder


@pytest.mark.parametrize(("path", "arguments"), REGRESSORS.items())
def test_numbers_flags_and_classes_by_regressors(path, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, (x, y), (other, truth) = built(path, arguments, 0.01), data(), data(1)
    numbers = Target("number", np.stack([10 * x[:, 0], np.full(150, 3)], axis=1), 2)
    found, none = model.fit_predict(x, numbers, [other, other[:0]])
    assert none.shape == (0, 2)
    assert np.corrcoef(found[:, 0], other[:, 0])[0, 1] > 0.9
    assert abs(found).max() > 5  # the clip is for probabilities
    assert (found[:, 1] == 3).all()
    flags = model.fit_predict(x, Target("flags", (y[:, None] == 0).astype(float), 1), [other])[0]
    assert flags.min() >= 0.01
    assert flags.max() <= 0.99
    two = model.fit_predict(x, Target("class", (y == 0).astype(int), 2), [other])[0]
    np.testing.assert_allclose(two[:, 1], flags[:, 0], atol=1e-6)
    three = model.fit_predict(x, Target("class", y, 3), [other])[0]
    np.testing.assert_allclose(three.sum(1), 1, atol=1e-5)
    assert (three.argmax(1) == truth).mean() > 0.6


def test_the_seed_and_nested_objects():
    x, y = data()
    forest = Model("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 3})
    one, two, again = (forest.fit_predict(x, Target("class", y, 3), [x], seed)[0] for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)
    bag = {"class_path": "sklearn.tree.DecisionTreeClassifier", "init_args": {"max_depth": 1}}
    made = Model("sklearn.ensemble.BaggingClassifier", {"estimator": bag, "random_state": 5}).build(0)
    assert made.estimator.max_depth == 1
    assert made.random_state == 5


def test_what_cannot_be_fitted_is_refused(monkeypatch):
    x, y = data()
    with pytest.raises(ValueError, match="module 'nowhere' does not exist"):
        Model("nowhere.Forest").build(0)
    with pytest.raises(ValueError, match="has no class 'LogReg'"):
        Model("sklearn.linear_model.LogReg").build(0)
    with pytest.raises(ValueError, match="is not a class_path"):
        Model("LogisticRegression").build(0)
    with pytest.raises(ValueError, match=r"does not accept --model_args \{'trees': 3\}"):
        Model("sklearn.linear_model.LogisticRegression", {"trees": 3}).build(0)
    with pytest.raises(ValueError, match="no fit and predict"):
        Model("fractions.Fraction").build(0)
    with pytest.raises(ValueError, match="is a classifier"):
        Model("sklearn.linear_model.LogisticRegression").fit_predict(x, Target("number", x, 4), [x])
    with pytest.raises(ValueError, match="no row to train on"):
        Model("sklearn.linear_model.Ridge").fit_predict(x[:0], Target("class", y[:0], 3), [x])
    with pytest.raises(ValueError, match="--clip is 0.7"):
        Model("sklearn.linear_model.Ridge", {}, 0.7)

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("ensembling.stacking.models.import_module", missing)
    with pytest.raises(ImportError, match=r'requires lightgbm: pip install -e "\.\[stack\]"'):
        Model("lightgbm.LGBMClassifier").build(0)
