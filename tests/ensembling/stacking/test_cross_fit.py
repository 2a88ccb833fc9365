"""Out of fold means out of fold; repetitions are on disk, go on, and calm the mean."""

import numpy as np
import pytest

from ensembling.stacking.cross_fit import Repeats, cross_fit, divisions
from ensembling.stacking.features import Table
from ensembling.stacking.models import Model, Target

IDS = [f"i{n:02}" for n in range(40)]
GROUPS = {one: f"g{n // 4}" for n, one in enumerate(IDS)}


class Memory:
    """Predicts 1 for rows it was fitted on, else 0: any leak is seen."""

    def fit(self, x, y):
        self.seen = {row.tobytes() for row in x}

    def predict(self, x):
        return np.array([float(row.tobytes() in self.seen) for row in x])


def table(seed=0, rows=40, images=40, features=3):
    values = np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)
    return Table([f"f{n}" for n in range(features)], values, np.arange(rows) * images // rows, images)


@pytest.fixture
def remembers(monkeypatch):
    """A model whose class is `Memory`."""
    monkeypatch.setattr("ensembling.stacking.models.class_of", lambda path: Memory)
    return Model("here.Memory")


@pytest.mark.parametrize("rows", [40, 120])
def test_no_row_is_predicted_by_a_model_that_saw_it_or_its_group(remembers, rows):
    data = table(rows=rows)
    target = Target("number", np.random.default_rng(1).normal(size=(rows, 1)), 1)
    for fold in divisions(IDS, GROUPS, None, 5, 6):
        assert len(np.unique(fold)) == 5
        of_group = {}
        for one, number in zip(IDS, fold, strict=True):
            assert of_group.setdefault(GROUPS[one], number) == number
        result = cross_fit(data, target, {"again": data}, remembers, fold, 0)
        assert (result["val"] == 0).all()  # nobody saw it
        # of other splits the mean of five models, four of which saw each of these rows
        np.testing.assert_allclose(result["again"], 0.8, rtol=1e-6)


def test_repetitions_differ_spread_classes_and_begin_alike():
    target = Target("class", np.arange(40) % 4, 4)
    few, many = (list(divisions(IDS, {}, target, 5, n, seed=3)) for n in (3, 6))
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=False))
    assert len({fold.tobytes() for fold in many}) == 6
    for fold in many:
        counts = np.array([np.bincount(target.values[fold == k], minlength=4) for k in range(5)])
        assert (counts == 2).all()
    numbers = Target("number", np.arange(40.0)[:, None], 1)
    for fold in divisions(IDS, {}, numbers, 4, 2):
        assert all(abs(numbers.values[fold == k].mean() - 19.5) < 5 for k in range(4))
    labels = Target("flags", np.stack([np.arange(40) % 2, np.arange(40) % 5 == 0], axis=1), 2)
    for fold in divisions(IDS, {}, labels, 4, 2):
        assert {int(labels.values[fold == k][:, 1].sum()) for k in range(4)} == {2}


def test_thirty_repetitions_calm_the_out_of_fold_mean(tmp_path):
    """Variance over divisions of the mean of R repetitions falls about as 1 / R."""
    data, random = table(), np.random.default_rng(2)
    target = Target("flags", (data.values[:, :1] + random.normal(size=(40, 1)) > 0).astype(np.float32), 1)
    model = Model("sklearn.tree.DecisionTreeRegressor", {"max_depth": 2})
    singles = [
        cross_fit(data, target, {}, model, fold, seed)["val"]
        for seed in range(2)
        for fold in divisions(IDS, {}, target, 5, 30, seed=seed)
    ]
    one = np.var(singles, axis=0).mean()
    means = [np.mean(singles[n : n + 10], axis=0) for n in range(0, 60, 10)]
    assert np.var(means, axis=0, ddof=1).mean() < one / 5
    assert one > 0.001
    # and the class averages what single repetitions give
    folds = list(divisions(IDS, {}, target, 5, 4))
    mean = Repeats(tmp_path).run(data, target, {"test": table(5)}, model, folds)
    own = [Repeats(tmp_path).read(n) for n in range(4)]
    assert sorted(mean) == ["test", "val"]
    for split in mean:
        np.testing.assert_allclose(mean[split], np.mean([one[split] for one in own], axis=0), atol=1e-6)


def test_a_stopped_run_goes_on_and_another_model_starts_anew(tmp_path, monkeypatch):
    data, target = table(), Target("number", np.arange(40.0)[:, None], 1)
    model = Model("sklearn.tree.DecisionTreeRegressor", {"max_depth": 2, "max_features": 1})
    folds = list(divisions(IDS, GROUPS, None, 4, 4))
    whole = Repeats(tmp_path / "whole").run(data, target, {}, model, folds)
    fitted = []
    fit = Model.fit_predict

    def counted(self, *arguments):
        if len(fitted) == 10 and self.arguments["max_depth"] == 2 and not (tmp_path / "on").exists():
            raise KeyboardInterrupt
        fitted.append(1)
        return fit(self, *arguments)

    monkeypatch.setattr(Model, "fit_predict", counted)
    with pytest.raises(KeyboardInterrupt):
        Repeats(tmp_path / "a").run(data, target, {}, model, folds)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["00000.npz", "00001.npz"]
    (tmp_path / "on").touch()
    (tmp_path / "a" / "00001.npz").write_bytes(b"half")  # damaged: made anew
    fitted.clear()
    again = Repeats(tmp_path / "a").run(data, target, {}, model, folds)
    assert len(fitted) == 12
    np.testing.assert_array_equal(again["val"], whole["val"])
    fitted.clear()
    Repeats(tmp_path / "a").run(data, target, {}, model, folds[:3])  # fewer: nothing to do, the fourth goes
    assert not fitted
    assert len(list((tmp_path / "a").iterdir())) == 3
    Repeats(tmp_path / "a").run(data, target, {}, Model(model.class_path, {"max_depth": 1}), folds[:3])
    assert len(fitted) == 12


def test_a_single_fold_is_refused():
    with pytest.raises(ValueError, match="all rows are in fold 0"):
        cross_fit(table(), Target("number", np.zeros((40, 1)), 1), {}, Model("x.Y"), np.zeros(40, int), 0)
