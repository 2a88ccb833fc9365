"""Submissions with a list in a row: boxes, cells."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from masks import coco_rle
from submissions import Boxes, Cells, Submission, SubmissionError

VIN = {"classes": 15, "empty": "14 1 0 0 1 1"}
RSNA = {"layout": "xywh", "id_column": "patientId"}
SIZE = (40, 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("submissions")


def boxes(seed, count, classes=1):
    """Boxes inside of `SIZE`, the best first."""
    random = np.random.default_rng(seed)
    corners = np.sort(random.random((count, 2, 2)), axis=1).reshape(count, 4) * [60, 40, 60, 40]
    scores = np.sort(random.random(count))[::-1]
    found = np.column_stack([corners, scores, random.integers(0, classes, count)]).astype(np.float32)
    found[:, 2:4] += 0.01 * (found[:, 2:4] < 39)
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 6), plain=st.booleans())
def test_boxes_come_back(folder, seed, count, plain):
    format_ = Boxes(**RSNA) if plain else Boxes(classes=["heart", "lung", "rib"])
    given_ = {"a": boxes(seed, count, 1 if plain else 3), "b": np.zeros((0, 6), np.float32)}
    sizes = dict.fromkeys(given_, SIZE)
    format_.write([(name, {"boxes": array}) for name, array in given_.items()], folder / "s.csv", None, sizes)
    again = format_.read(folder / "s.csv", sizes)
    assert len(again["b"]["boxes"]) == 0
    np.testing.assert_allclose(again["a"]["boxes"], given_["a"], atol=0 if not plain else 1e-5)


def test_the_competitions_own_texts(tmp_path):
    (tmp_path / "sample.csv").write_text("image_id,PredictionString\nb,14 1 0 0 1 1\na,14 1 0 0 1 1\n")
    found = np.array([[10, 20, 110, 220, 0.25, 3], [1, 2, 3.5, 4, 0.9, 0]], np.float32)
    predictions = [("a", {"boxes": found}), ("b", {"boxes": found[:0]})]
    sizes = {"a": (300, 200), "b": (300, 200)}
    Boxes(**VIN).write(predictions, tmp_path / "s.csv", tmp_path / "sample.csv", sizes)
    written = (tmp_path / "s.csv").read_text()
    assert written == (
        "image_id,PredictionString\nb,14 1 0 0 1 1\na,0 0.9 1.0 2.0 3.5 4.0 3 0.25 10.0 20.0 110.0 220.0\n"
    )
    assert Boxes(**VIN).read(tmp_path / "s.csv", sizes)["b"]["boxes"].tolist() == [[0, 0, 1, 1, 1, 14]]
    Boxes(**RSNA).write(predictions, tmp_path / "r.csv", None, sizes)
    assert (tmp_path / "r.csv").read_text() == (
        "patientId,PredictionString\na,0.9 1.0 2.0 2.5 2.0 0.25 10.0 20.0 100.0 200.0\nb,\n"
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0 0.5 1 1 5 5\nb,3 0.5 1 1 5\n", "row 3, image 'b': found 5 words, expected 6"),
        ("a,0 0.5 1 1 5 5\nb,15 0.5 1 1 5 5\n", "row 3, image 'b': class '15' is unknown"),
        ("a,0 0.5 1 1 5 x\n", "row 2, image 'a': box 0 is '0 0.5 1 1 5 x', expected numbers"),
        ("a,0 0.5 1 1 5 5 1 nan 1 1 5 5\n", "row 2, image 'a': box 1, '1 nan 1 1 5 5', has score nan"),
        ("a,0 1.5 1 1 5 5\n", "row 2, image 'a': box 0.* has score 1.5"),
        ("a,0 0.5 1 nan 5 5\n", "row 2, image 'a': box 0.* and corners"),
        ("a,0 0.5 5 1 5 9\n", "row 2, image 'a': box 0.* has no area"),
        ("a,0 0.5 1 1 61 9\n", "row 2, image 'a': box 0.*exceeds the image of 60 x 40 pixels"),
        ("a,0 0.5 -1 1 6 9\n", "row 2, image 'a': box 0.*exceeds"),
        ("a,\na,\n", "row 3: image 'a' has a second row"),
        ("a,\nc,\n", "row 3: image 'c' is unknown"),
    ],
)
def test_wrong_boxes_are_refused(tmp_path, rows, message):
    (tmp_path / "s.csv").write_text("image_id,PredictionString\n" + rows)
    with pytest.raises(SubmissionError, match=message):
        Boxes(**VIN).validate(tmp_path / "s.csv", None, {"a": SIZE, "b": SIZE})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ((4, np.nan), "box 1 has score nan"),
        ((0, np.nan), "box 1 has score 0.5 and corners"),
        ((5, 15), "box 1 has label 15, expected 0 to 14"),
        ((5, 0.5), "box 1 has label 0.5"),
        ((2, 1.0), "box 1 has no area"),
        ((2, 99.0), "exceeds the image"),
    ],
)
def test_wrong_predicted_boxes_leave_no_file(tmp_path, changed, message):
    found = np.array([[1, 1, 5, 5, 0.9, 2], [2, 2, 7, 7, 0.5, 1]], np.float32)
    found[1, changed[0]] = changed[1]
    with pytest.raises(SubmissionError, match=f"image 'a'.*{message}"):
        Boxes(**VIN).write([("a", {"boxes": found})], tmp_path / "s.csv", None, {"a": SIZE})
    assert not list(tmp_path.iterdir())


# --- cells -----------------------------------------------------------------------------------------------------------


def cells(seed, size=(12, 17), count=4, classes=3):
    random = np.random.default_rng(seed)
    labels = random.integers(0, count + 1, size)
    return {"instances": labels.astype(np.int32), "scores": random.random((count, classes), np.float32)}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 4))
def test_cells_come_back(folder, seed, count):
    given_, format_ = cells(seed, count=count), Cells(classes=3)
    sizes = {"x": given_["instances"].shape}
    format_.write([("x", given_)], folder / "cells.csv", None, sizes)
    again = format_.read(folder / "cells.csv", sizes)["x"]
    ids = [one for one in range(1, count + 1) if (given_["instances"] == one).any()]
    assert len(again["masks"]) == len(again["scores"]) == len(ids)
    for one, runs, scores in zip(ids, again["masks"], again["scores"], strict=True):
        flat = np.zeros(given_["instances"].size, bool)
        for first, last in runs.T:
            flat[first:last] = True
        np.testing.assert_array_equal(flat.reshape(17, 12).T, given_["instances"] == one)
        np.testing.assert_array_equal(scores.astype(np.float32), given_["scores"][one - 1])


def test_the_text_is_what_the_competition_decodes(tmp_path):
    coco = pytest.importorskip("pycocotools.mask")
    given_ = cells(0)
    given_["instances"][given_["instances"] == 3] = 0  # an id without pixels is no cell
    Cells(classes=["a", "b", "c"], min_score=0.5).write([("x", given_)], tmp_path / "s.csv", None, {"x": (12, 17)})
    image_id, width, height, text = (tmp_path / "s.csv").read_text().splitlines()[1].split(",")
    assert (image_id, width, height) == ("x", "17", "12")
    words = text.split()
    expected = [
        ("abc"[place], one) for one in (1, 2, 4) for place in range(3) if given_["scores"][one - 1, place] >= 0.5
    ]
    assert len(words) == 3 * len(expected)
    for (name, one), *found in zip(expected, words[::3], words[1::3], words[2::3], strict=True):
        assert found[0] == name
        assert np.float32(found[1]) == given_["scores"][one - 1, "abc".index(name)]
        counts = zlib.decompress(base64.b64decode(found[2]))
        mask = coco.decode({"size": [12, 17], "counts": counts})
        np.testing.assert_array_equal(mask == 1, given_["instances"] == one)


def mask_text(runs, pixels=20):
    return base64.b64encode(zlib.compress(coco_rle.encode(np.array(runs), pixels))).decode()


GOOD = mask_text([[0, 7], [3, 9]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"x,5,4,0 0.5 {GOOD} 1", "4 words, expected class, confidence and mask"),
        (f"x,4,5,0 0.5 {GOOD}", "the image is 4 x 5 pixels, expected 5 x 4"),
        (f"x,5,4,0 0.5 {GOOD} 3 0.5 {GOOD}", "mask 2 of 2: class '3' is unknown"),
        (f"x,5,4,0 0.5 {GOOD} 0 0.6 {GOOD}", "mask 2 of 2: class '0' of the same mask is repeated"),
        (f"x,5,4,0 nan {GOOD}", "mask 1 of 1: confidence is 'nan'"),
        ("x,5,4,0 0.5 eNo!", "mask 1 of 1: 'eNo!'… is not a mask"),
        ("x,5,4,0 0.5 aGFsbG8=", "mask 1 of 1: 'aGFsbG8='… is not a mask"),
        (f"x,5,4,0 0.5 {mask_text([[0], [9]], 30)}", "cover 30 pixels, expected 20"),
        (f"x,5,4,0 0.5 {mask_text(np.zeros((2, 0), int))}", "the mask is empty"),
    ],
)
def test_wrong_cells_are_refused(tmp_path, row, message):
    (tmp_path / "s.csv").write_text(f"ImageID,ImageWidth,ImageHeight,PredictionString\n{row}\n")
    with pytest.raises(SubmissionError, match=f"row 2, image 'x': .*{message}"):
        Cells(classes=3).validate(tmp_path / "s.csv", None, {"x": (4, 5)})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": np.full((4, 3), np.nan)}, "scores of instance 1 are nan"),
        ({"scores": np.full((4, 3), 1.5)}, "scores of instance 1 are 1.5"),
        ({"scores": np.zeros((3, 3))}, r"'scores' is \(3, 3\), expected \(4, 3\)"),
        ({"instances": np.zeros((4, 5))}, r"instances are float64 \(4, 5\)"),
    ],
)
def test_wrong_predicted_cells_leave_no_file(tmp_path, changed, message):
    with pytest.raises(SubmissionError, match=f"image 'x': {message}"):
        Cells(classes=3).write([("x", cells(0) | changed)], tmp_path / "s.csv", None, {"x": (12, 17)})
    assert not list(tmp_path.iterdir())


def test_lists_come_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--formats", type=list[Submission])
    package = "submissions."
    formats = [
        {"class_path": package + "Boxes", "init_args": VIN},
        {"class_path": package + "Boxes", "init_args": RSNA | {"classes": None}},
        {"class_path": package + "Cells", "init_args": {"classes": 19, "min_score": 0.01}},
    ]
    made = parser.instantiate(parser.parse_object({"formats": formats})).formats
    assert (made[0].classes, made[1].classes, made[2].min_score) == (15, None, 0.01)
    with pytest.raises(ValueError, match="class 'no finding' has a space"):
        Boxes(classes=["no finding"])
