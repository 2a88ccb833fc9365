"""Tables of probabilities and of CSV columns."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ensembling.members import Member
from ensembling.stacking.features import Table, extra_columns, feature_table, labels_of, outputs_of, read_outputs
from predictions.store import PredictionStore


def store(folder, entries):
    made = PredictionStore(folder)
    made.begin(list(entries), "x")
    for image_id, arrays in entries.items():
        made.write(image_id, arrays)
    made.finish()


def entry(value, classes=2):
    label = np.linspace(0, value, classes, dtype=np.float32)
    return {"label": label, "grade": label[:1], "mask": np.zeros((1, 4, 4), np.float32), "count": np.array([3])}


def test_members_become_columns_and_folds_their_mean(tmp_path):
    store(tmp_path / "a/fold0/predictions/test", {"u": entry(0.5), "v": entry(0.25)})
    store(tmp_path / "a/fold1/predictions/test", {"u": entry(1.0), "v": entry(0.75)})
    part = Member(tmp_path / "a").open("test")
    assert outputs_of(part, "u") == ["grade", "label"]
    assert outputs_of(part, "u", ["label", "mask"]) == ["label"]
    read = read_outputs(part, ["v", "u"], ["label", "grade"])
    np.testing.assert_allclose(read["label"], [[0, 0.5], [0, 0.75]])
    extra = pd.DataFrame({"age": [30.0, np.nan]})
    made = feature_table({"a": read}, extra, 2)
    assert made.names == ["a.label.0", "a.label.1", "a.grade.0", "age"]
    np.testing.assert_allclose(made.values, [[0, 0.5, 0, 30], [0, 0.75, 0, np.nan]])
    assert made.owner.tolist() == [0, 1]
    store(tmp_path / "b/predictions/test", {"u": {"mask": np.zeros((1, 4, 4), np.float32)}})
    with pytest.raises(ValueError, match=r"no image-level probabilities \(C,\).*mask \(1, 4, 4\)"):
        outputs_of(Member(tmp_path / "b").open("test"), "u")
    store(tmp_path / "c/predictions/test", {"u": entry(1.0), "v": entry(1.0, 3)})
    with pytest.raises(ValueError, match="output 'label' of image 'v'"):
        read_outputs(Member(tmp_path / "c").open("test"), ["u", "v"], ["label"])


def test_names_tell_members_apart():
    assert labels_of([Path("runs/a"), Path("runs/b/fold0")]) == ["a", "fold0"]
    assert labels_of([Path("runs/a/fold0"), Path("runs/b/fold0")]) == ["a/fold0", "b/fold0"]
    with pytest.raises(ValueError, match="is repeated"):
        labels_of([Path("runs/a"), Path("runs/b"), Path("runs/../runs/a")])


def test_columns_of_a_csv(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("image_id,age,width\nb.png,3,\na.png,1.5,20\nother,no,no\n")
    read = extra_columns(path, ["a", "b"])
    np.testing.assert_allclose(read.to_numpy(), [[1.5, 20], [3, np.nan]])
    assert list(extra_columns(path, ["b"], columns=["width"])) == ["width"]
    with pytest.raises(ValueError, match=r"no row for 1 of 2 images; the first is 'c'"):
        extra_columns(path, ["a", "c"])
    with pytest.raises(ValueError, match="'age' of image 'other' is 'no'"):
        extra_columns(path, ["a", "other"])
    with pytest.raises(ValueError, match="no column 'mass'"):
        extra_columns(path, ["a"], columns=["mass"])
    with pytest.raises(ValueError, match="no column 'id'"):
        extra_columns(path, ["a"], "id")
    path.write_text("image_id,age\na,3\na,4\n")
    with pytest.raises(ValueError, match="row 3: image 'a' is repeated"):
        extra_columns(path, ["a"])


def test_a_table_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="values are .*, expected"):
        Table(["a"], np.zeros((3, 2)), np.arange(3), 3)
    with pytest.raises(ValueError, match="no feature"):
        feature_table({}, None, 3)
