"""What lists, ids and CSVs say about the images of a table."""

import pandas as pd
import pytest

from datamodules.metadata import described, listed, loss_weights


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
    with pytest.raises(ValueError, match=r"data\.test_ids: .*ids\.csv.* 1 of 2 names are of no image: 'car9_01'"):
        listed(table, str(tmp_path), "ids.csv", "name", "data.test_ids")


def test_columns_come_from_ids_and_from_several_files(tmp_path, table):
    (tmp_path / "site.csv").write_text("image_id,site\ncar1_01,a\ncar1_02,a\ncar2_01,b\n")
    (tmp_path / "age.csv").write_text("image_id,age\ncar2_01,7\ncar1_02,8\ncar1_01,9\n")
    found = described(table, str(tmp_path), ["site.csv", "age.csv"], "image_id", r"(?P<car>[^_]+)_(?P<view>\d+)")
    assert found["car"].tolist() == ["car1", "car1", "car2"]
    assert found["view"].tolist() == ["01", "02", "01"]
    assert found["site"].tolist() == ["a", "a", "b"]
    assert found["age"].tolist() == ["9", "8", "7"]
    with pytest.raises(ValueError, match=r"data\.id_pattern: .* does not fit the id 'car2_01'"):
        described(table, str(tmp_path), None, "image_id", r"(?P<car>car1)_\d+")


def test_weights_of_rows_that_are_not_listed_are_1(tmp_path, table):
    pd.DataFrame({"image_id": ["car1_02", "stranger"], "weight": [0.25, 9]}).to_csv(tmp_path / "w.csv", index=False)
    assert loss_weights(table, str(tmp_path), "w.csv").tolist() == [1, 0.25, 1]
    assert loss_weights(table, "/nowhere", str(tmp_path / "w.csv")).tolist() == [1, 0.25, 1]
