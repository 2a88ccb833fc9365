"""Lists of class colours, as data sets ship them."""

import pytest

from annotations.colours import read_colours

FOUND = {"Sky": [(128, 128, 128)], "Road shoulder": [(128, 128, 192), (0, 64, 64)]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nSky,128,128,128\nRoad shoulder,128,128,192\nRoad shoulder,0,64,64\n"),
        ("b.CSV", "B,G,R,Name,more\n128,128,128,Sky,1\n192,128,128,Road shoulder,2\n64,64,0,Road shoulder,3\n"),
        ("label_colors.txt", "128 128 128\tSky\n\n128 128 192\t\tRoad shoulder\n0 64 64 Road shoulder\n"),
    ],
)
def test_lists_of_colours(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_colours(tmp_path / name) == FOUND
    assert list(read_colours(tmp_path / name)) == ["Sky", "Road shoulder"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,r,g\nSky,1,2\n", r"a\.csv has no column 'b', only"),
        (
            "a.csv",
            "name,r,g,b\nSky,1,2,256\n",
            r"a\.csv, row 2: 'Sky' 1, 2, 256, expected a name and r, g, b of 0 to 255",
        ),
        ("a.csv", "name,r,g,b\n,1,2,3\n", "row 2: ''"),
        ("a.csv", "name,r,g,b\n", "has no colours"),
        ("a.txt", "1 2 3 Sky\n1 2 Sky\n", r"a\.txt, row 2: '1 2 Sky', expected r g b name"),
    ],
)
def test_what_is_no_list_of_colours(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_colours(tmp_path / name)
