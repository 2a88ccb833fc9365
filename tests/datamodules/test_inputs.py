"""What the prediction of an image depends on: the files of its row, and its features."""

import pandas as pd
import pytest

from datamodules.inputs import inputs_of
from datamodules.readers import ImageReadError
from tests.datamodules.memory import Images

TABLE = pd.DataFrame({"image_id": ["a", "b"], "path": ["x/a.png", "x/b.png"], "age": [31, 40.5], "name": ["u", "v"]})


class Pairs(Images):
    def files(self, row):
        if row.image_id == "b":
            raise ImageReadError("b has no second file")
        return [row.path, row.path + ".world"]


def test_files_are_those_of_the_reader_or_the_rows_own_if_it_fails():
    found = inputs_of(TABLE, Pairs({}), [])
    assert {name: (list(one.files), one.values) for name, one in found.items()} == {
        "a": (["x/a.png", "x/a.png.world"], ""),
        "b": (["x/b.png"], ""),
    }


def test_features_are_part_of_them():
    before = inputs_of(TABLE, Images({}), ["age"])
    assert before == inputs_of(TABLE.assign(name="w"), Images({}), ["age"])
    after = inputs_of(TABLE.assign(age=[31, 41]), Images({}), ["age"])
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]


def test_a_feature_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match="name"):
        inputs_of(TABLE, Images({}), ["name"])
