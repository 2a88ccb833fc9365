import pickle

import pandas as pd

from datamodules.row import row_with
from datamodules.table import rows_of
from datamodules.windows import with_window, without_window

TABLE = pd.DataFrame({"image_id": ["001"], "path": ["a.png"], "weight": [2.0], "source": ["train"], "patient": [7]})


def test_columns_are_attributes_in_another_process_too():
    for row in (rows_of(TABLE)[0], pickle.loads(pickle.dumps(rows_of(TABLE)[0]))):
        assert (row.image_id, row.path, row.weight, row.source, row.patient) == ("001", "a.png", 2.0, "train", 7)


def test_a_window_is_one_more_and_leaves_the_row_as_it_is():
    row = row_with(TABLE.iloc[0].to_dict())
    narrowed = with_window(row, (1, 2, 3, 4))
    assert narrowed.window == (1, 2, 3, 4)
    assert not hasattr(row, "window")
    assert vars(without_window(narrowed)) == vars(row)
