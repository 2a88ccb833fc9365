"""What lists, ids and CSVs say about the images of a table."""

import pandas as pd
import pytest

from datamodules.metadata import described, listed, loss_weights
from datamodules.table import numbers
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds


@pytest.fixture
def table():
    return pd.DataFrame({"image_id": ["car1_01", "car1_02", "car2_01"], "weight": 1.0})


def test_a_list_keeps_its_rows_in_the_order_of_the_table(tmp_path, table):
    (tmp_path / "ids.csv").write_text("name\ncar2_01.jpg\ncar1_01.jpg\n")
    kept = listed(table, str(tmp_path), "ids.csv", "name", "data.train_ids")
    assert kept["image_id"].tolist() == ["car1_01", "car2_01"]
    assert kept.index.tolist() == [0, 1]
    assert listed(table, str(tmp_path), None, "name", "data.train_ids") is table
    (tmp_path / "ids.csv").write_text("name\ncar1_01\ncar9_01\n")
    with pytest.raises(ValueError, match=r"data\.test_ids: .*ids\.csv.* 1 of 2 names match no image: 'car9_01'"):
        listed(table, str(tmp_path), "ids.csv", "name", "data.test_ids")


def test_columns_come_from_ids_and_from_several_files(tmp_path, table):
    (tmp_path / "site.csv").write_text("image_id,site\ncar1_01,a\ncar1_02,a\ncar2_01,b\n")
    (tmp_path / "age.csv").write_text("image_id,age\ncar2_01,7\ncar1_02,8\ncar1_01,9\n")
    found = described(table, str(tmp_path), ["site.csv", "age.csv"], "image_id", r"(?P<car>[^_]+)_(?P<view>\d+)")
    assert found["car"].tolist() == ["car1", "car1", "car2"]
    assert found["view"].tolist() == ["01", "02", "01"]
    assert found["site"].tolist() == ["a", "a", "b"]
    assert found["age"].tolist() == ["9", "8", "7"]
    with pytest.raises(ValueError, match=r"data\.id_pattern .* does not match the id 'car2_01'"):
        described(table, str(tmp_path), None, "image_id", r"(?P<car>car1)_\d+")


def test_spaces_part_no_groups(tmp_path, table):
    (tmp_path / "patients.csv").write_text("image_id,patient\ncar1_01,p1\ncar1_02,p1 \ncar2_01,p2\n")
    with pytest.warns(UserWarning, match=r"patients\.csv: 'p1' and 'p1 ' in column 'patient' are treated as equal"):
        found = described(table, str(tmp_path), "patients.csv", "image_id", None)
    folds = make_folds(found, CrossValidation(k=2, group="patient", duplicates=False))
    fold = dict(zip(folds["image_id"], folds["fold"], strict=True))
    assert fold["car1_01"] == fold["car1_02"] != fold["car2_01"]


def test_numbers_with_a_comma_are_told(tmp_path, table):
    (tmp_path / "age.csv").write_text('image_id,age\ncar1_01,1.5\ncar1_02,"2,5"\ncar2_01,3\n')
    found = described(table, str(tmp_path), "age.csv", "image_id", None)
    with pytest.raises(ValueError, match=r"'age' of image 'car1_02' is '2,5', expected a number; numbers have a point"):
        numbers(found, ["age"])
    with pytest.raises(ValueError, match=r"image 'car1_02' has '2,5' in 'age'; numbers have a point"):
        make_folds(found, CrossValidation(k=2, stratify="age", bins=2, duplicates=False))


def test_weights_of_rows_that_are_not_listed_are_1(tmp_path, table):
    pd.DataFrame({"image_id": ["car1_02", "stranger"], "weight": [0.25, 9]}).to_csv(tmp_path / "w.csv", index=False)
    assert loss_weights(table, str(tmp_path), "w.csv").tolist() == [1, 0.25, 1]
    assert loss_weights(table, "/nowhere", str(tmp_path / "w.csv")).tolist() == [1, 0.25, 1]
