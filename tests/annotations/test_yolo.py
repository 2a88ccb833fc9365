"""Files of YOLO data sets: names, boxes, polygons, and what is wrong with them."""

import pytest

from annotations.yolo import read_labels, read_names


def names(root, text="names: [car, dog, tree]\nnc: 3\n"):
    (root / "data.yaml").write_text(text)
    return read_names(root / "data.yaml")


def labels(root, text, known):
    (root / "a.txt").write_text(text)
    return read_labels(root / "a.txt", known)


def test_boxes_and_polygons(tmp_path):
    found = labels(tmp_path, "1 .5 .5 .2 .4\n\n 2.0 0 0 1 0 1 1 \n", names(tmp_path))
    assert [(label, shape.tolist()) for label, shape in found] == [
        (1, [0.5, 0.5, 0.2, 0.4]),
        (2, [[0, 0], [1, 0], [1, 1]]),
    ]


def test_numbers_of_names_may_have_gaps(tmp_path):
    known = names(tmp_path, "names: {9: tree, 4: car}")
    assert known.names == ["car", "tree"]
    assert labels(tmp_path, "9 .5 .5 .2 .4", known)[0][0] == 1


LINES = {
    "0 0.5 0.5 0.2": "line 2: 4 numbers, expected a class and x, y, width, height",
    "0 0.5 0.5 0.2 0.2 0.9": "line 2: 6 numbers, .* a confidence",
    "3 0.5 0.5 0.2 0.2": "line 2: class 3, expected one of data.yaml: 0 car, 1 dog, 2 tree",
    "0.5 0.5 0.5 0.2 0.2": "line 2: class 0.5, expected one of",
    "-1 0.5 0.5 0.2 0.2": "line 2: class -1, expected one of",
    "0 25 15 10 10": "line 2: 25, expected 0 to 1, relative to the width and height",
    "0 0.5 nan 0.2 0.2": "line 2: nan, expected 0 to 1",
    "0 0,5 0,5 0,2 0,2": "line 2: '0 0,5.* expected numbers.*point",
    "car 0.5 0.5 0.2 0.2": "line 2: 'car .* expected numbers",
}


@pytest.mark.parametrize("line", LINES)
def test_faults_name_file_and_line(tmp_path, line):
    with pytest.raises(ValueError, match=f"a.txt, {LINES[line]}"):
        labels(tmp_path, f"0 0.5 0.5 0.2 0.4\n{line}\n", names(tmp_path))


YAMLS = {
    "nc: 3": "data.yaml has no class names",
    "names: [a, b]\nnc: 3": "data.yaml: nc is 3, but there are 2 names",
    "names: {a: b}": "data.yaml: names has the key 'a', expected class numbers",
    "names: [a, a]": "data.yaml has the class name 'a' twice",
    "names: [a": "data.yaml, line 1: not YAML",
    "names: [a]\nkpt_shape: 17": "data.yaml: kpt_shape is 17",
}


@pytest.mark.parametrize("text", YAMLS)
def test_faults_of_the_names(tmp_path, text):
    with pytest.raises(ValueError, match=YAMLS[text]):
        names(tmp_path, text)
