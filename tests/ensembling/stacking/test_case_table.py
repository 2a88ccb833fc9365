"""The seven columns of the Data Science Bowl 2017."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from ensembling.stacking.case_table import COLUMNS, PRESETS, read_case_table
from ensembling.stacking.cross_fit import Repeats, divisions
from ensembling.stacking.features import Table
from ensembling.stacking.models import Model, Target

NODULES = """image_id,magnification,malignancy,nodule_chance,coord_z
p1,1,4.0,0.9,0.3
p1,1,12.5,0.6,0.7
p1,1,20.0,0.5,0.1
p1,1.5,9.0,0.8,0.6
p1,1.5,9.0,0.9,0.2
p1,2,-1.0,0.9,0.4
other,2,30.0,0.9,0.4
"""


def test_two_patients_one_without_a_nodule(tmp_path):
    (tmp_path / "n.csv").write_text(NODULES)
    (tmp_path / "m.csv").write_text("image_id,mass\np2,3\np1,140\n")
    table = read_case_table(tmp_path / "n.csv", tmp_path / "m.csv", ["p1", "p2"])
    assert tuple(table) == COLUMNS == ("mass", "mx_10", "mx_15", "mx_20", "crdz_10", "crdz_15", "crdz_20")
    # a chance of 0.5 does not count, of equal malignancies the first, nor one below 0
    assert table.to_numpy().tolist() == [[140, 12.5, 9, 0, 0.7, 0.6, 0], [3, 0, 0, 0, 0, 0, 0]]
    assert read_case_table(tmp_path / "n.csv", None, ["p2", "p1"])["mx_10"].tolist() == [0, 12.5]


def test_the_winners_model():
    preset = PRESETS["dsb2017"]
    assert preset.model == "xgboost.XGBRegressor"
    assert preset.arguments == {
        "max_depth": 4,
        "n_estimators": 80,
        "learning_rate": 0.05,
        "min_child_weight": 60,
        "subsample": 0.95,
        "colsample_bytree": 0.95,
    }
    assert preset.columns == COLUMNS
    assert preset.folds * preset.repeats == 1000
    assert preset.clip == 0.001


def test_files_that_do_not_fit_are_refused(tmp_path):
    path, mass = tmp_path / "n.csv", tmp_path / "m.csv"
    path.write_text(NODULES)
    with pytest.raises(
        ValueError, match="--id_column image_id: none of its 2 names .*: 'p1', 'other'; the images are 'p9'"
    ):
        read_case_table(path, None, ["p9"])
    mass.write_text("image_id,mass\np2,3\n")
    with pytest.raises(ValueError, match="the first is 'p1'"):
        read_case_table(path, mass, ["p1", "p2"])
    mass.write_text("image_id,mass\np1,3\np1,4\n")
    with pytest.raises(ValueError, match="row 3: patient 'p1' is repeated"):
        read_case_table(path, mass, ["p1"])
    path.write_text(NODULES.replace("p1,2,", "p1,3,"))
    with pytest.raises(ValueError, match=r"row 7: magnification 3, expected 1, 1.5, 2"):
        read_case_table(path, None, ["p1"])
    path.write_text(NODULES.replace("12.5", "big"))
    with pytest.raises(ValueError, match="column malignancy, row 3: 'big' is not a number"):
        read_case_table(path, None, ["p1"])
    path.write_text(NODULES.replace("coord_z", "z"))
    with pytest.raises(ValueError, match="no column 'coord_z'"):
        read_case_table(path, None, ["p1"])


def test_the_preset_beats_the_prior_out_of_fold(tmp_path):
    pytest.importorskip("xgboost")
    random = np.random.default_rng(0)
    cancer = random.random(500) < 0.3
    values = random.normal(size=(500, 7)).astype(np.float32)
    values[:, 1] = np.where(cancer, random.gamma(4, 3, 500), random.gamma(2, 2, 500))
    preset = PRESETS["dsb2017"]
    target = Target("flags", cancer[:, None].astype(np.float32), 1)
    table = Table(list(COLUMNS), values, np.arange(500), 500)
    folds = list(divisions([f"p{n}" for n in range(500)], {}, target, preset.folds, 2))
    model = Model(preset.model, preset.arguments | {"n_jobs": 1}, preset.clip)
    found = Repeats(tmp_path).run(table, target, {}, model, folds)["val"][:, 0]
    assert 0.001 <= found.min() < found.max() <= 0.999
    assert log_loss(cancer, found) < log_loss(cancer, np.full(500, cancer.mean())) - 0.05
