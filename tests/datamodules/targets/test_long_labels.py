"""Labels with a row per image and class."""

import pandas as pd
import pytest

from datamodules.table import rows_of
from datamodules.targets import LongLabels


def read(tmp_path, text, classes=("any", "epidural", "dural")):
    (tmp_path / "t.csv").write_text("ID,Label\n" + text)
    table = pd.DataFrame({"image_id": ["ID_1", "ID_2"], "path": "", "weight": 1.0})
    target = LongLabels("t.csv", list(classes))
    target.prepare(table, tmp_path)
    return [target.read(row, (1, 1))["label"].tolist() for row in rows_of(table)]


WHOLE = "ID_1_any,1\nID_1_epidural,0\nID_1_dural,1\nID_2_dural,0\nID_2_epidural,1\nID_2_any,1\n"


def test_rows_in_any_order_and_repeats_that_agree(tmp_path):
    assert read(tmp_path, WHOLE) == [[1, 0, 1], [1, 1, 0]]
    assert read(tmp_path, WHOLE + "ID_1_any,1\nID_9_any,0\n") == [[1, 0, 1], [1, 1, 0]]


def test_a_class_name_that_ends_another(tmp_path):
    text = "".join(f"ID_{n}_{kind},{v}\n" for n in (1, 2) for kind, v in (("dural", 1), ("sub_dural", 0)))
    assert read(tmp_path, text, ("dural", "sub_dural")) == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE.replace("ID_2_any,1\n", ""), "lacks labels of 1 images; the first is 'ID_2': any"),
        (WHOLE + "ID_1_any,0\n", "row 8: 'ID_1_any' is 0, but an earlier row differs"),
        (WHOLE.replace("ID_1_any,1", "ID_1_any,yes"), "row 2: 'ID_1_any' is 'yes', expected 0 or 1"),
    ],
)
def test_bad_input(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)
