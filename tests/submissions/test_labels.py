"""Submissions of image-level answers: lists of labels, grades, probabilities."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from submissions import ClassColumns, Labels, Ordinal, SubmissionError

TEXTS = st.text(string.ascii_letters + "0123456789_-.", min_size=1, max_size=8)
IDS = st.lists(TEXTS, min_size=1, max_size=5, unique=True)


def through(format_, results, folder, name="label"):
    """What is read from the file that was written."""
    path = folder / "submission.csv"
    format_.write([(image_id, {name: array}) for image_id, array in results.items()], path)
    return {image_id: arrays[name] for image_id, arrays in format_.read(path, None).items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("submissions")


@settings(max_examples=50, deadline=None)
@given(ids=IDS, data=st.data(), classes=st.sampled_from([28, ["haze", "clear sky", "cloudy"], ["a"]]))
def test_lists_come_back(folder, ids, data, classes):
    names = classes if isinstance(classes, list) else range(classes)
    results = {image_id: data.draw(arrays(bool, len(names))) for image_id in ids}
    separator = "|" if isinstance(classes, list) else " "
    again = through(Labels(classes, separator=separator, suffix=".png"), results, folder)
    assert list(again) == ids
    for image_id, flags in results.items():
        np.testing.assert_array_equal(again[image_id], flags)


@settings(max_examples=50, deadline=None)
@given(ids=IDS, data=st.data())
def test_grades_and_probabilities_come_back(folder, ids, data):
    grades = {image_id: np.array(data.draw(st.integers(0, 4))) for image_id in ids}
    assert through(Ordinal(), grades, folder) == grades
    answers = {image_id: int(grade) > np.arange(4) for image_id, grade in grades.items()}
    assert through(Ordinal(), answers, folder) == grades
    floats = st.floats(0, 1, width=32)
    shares = {image_id: data.draw(arrays(np.float32, 3, elements=floats)) for image_id in ids}
    for image_id, array in through(ClassColumns(["Type_1", "Type_2", "Type_3"], suffix=".jpg"), shares, folder).items():
        np.testing.assert_array_equal(array, shares[image_id])


def test_the_competitions_own_texts(tmp_path):
    (tmp_path / "sample.csv").write_text("Id,Predicted\nb,0\na,0\nc,0\n")
    flags = {"a": np.arange(28) == 25, "b": np.isin(np.arange(28), [0, 2]), "c": np.zeros(28, bool)}
    predictions = [(image_id, {"label": array}) for image_id, array in flags.items()]
    Labels(28).write(predictions, tmp_path / "hpa.csv", tmp_path / "sample.csv")
    assert (tmp_path / "hpa.csv").read_text() == "Id,Predicted\nb,0 2\na,25\nc,\n"

    planet = Labels(["haze", "primary", "water"], "image_name", "tags")
    planet.write([("test_0", {"label": np.array([False, True, True])})], tmp_path / "planet.csv")
    assert (tmp_path / "planet.csv").read_text() == "image_name,tags\ntest_0,primary water\n"

    Ordinal().write([("0005cfc8afb6", {"label": np.array(2)})], tmp_path / "aptos.csv")
    assert (tmp_path / "aptos.csv").read_text() == "id_code,diagnosis\n0005cfc8afb6,2\n"

    cervical = ClassColumns(["Type_1", "Type_2", "Type_3"], suffix=".jpg")
    cervical.write([("0", {"label": np.array([0.25, 0.7499999, 1e-7], np.float32)})], tmp_path / "cervical.csv")
    assert (tmp_path / "cervical.csv").read_text() == "image_name,Type_1,Type_2,Type_3\n0.jpg,0.25,0.7499999,1e-07\n"


@pytest.mark.parametrize(
    ("format_", "rows", "message"),
    [
        (Labels(28), "a,0\nb,28\n", r"row 3, image 'b': class '28' is unknown"),
        (Labels(28), "a,0\nb,1 1\n", "row 3, image 'b': label '1' is repeated"),
        (Labels(28), "a,0\na,1\n", "row 3: image 'a' has a second row"),
        (Labels(28), "a,0\nb,1\na,2\n", "row 4: image 'a' is repeated"),
        (Labels(28, suffix=".png"), "a.png,0\nb,1\n", r"row 3: id 'b' does not end in '\.png'"),
        (Ordinal(id_column="Id", value_column="Predicted"), "a,4\nb,5\n", "row 3, image 'b': class '5' is unknown"),
        (Ordinal(id_column="Id", value_column="Predicted"), "a,1.0\n", "row 2, image 'a': class '1.0'"),
        (ClassColumns(["Predicted"], "Id"), "a,0.5\nb,1.5\n", "row 3, image 'b': Predicted is 1.5, expected a prob"),
        (ClassColumns(["Predicted"], "Id"), "a,nan\n", "row 2, image 'a': Predicted is nan"),
        (ClassColumns(["Predicted"], "Id"), "a,\n", "row 2, image 'a': Predicted is '', expected a number"),
    ],
)
def test_wrong_files_are_refused(tmp_path, format_, rows, message):
    (tmp_path / "s.csv").write_text("Id,Predicted\n" + rows)
    with pytest.raises(SubmissionError, match=message):
        format_.validate(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("format_", "array", "message"),
    [
        (Labels(3), np.full(3, 0.5), "image 'a': 'label' is float64.*LabelThreshold"),
        (Labels(3), np.ones(4, bool), "4 labels, expected 3"),
        (Ordinal(), np.full(5, 0.2), "ArgMax"),
        (Ordinal(), np.array(5), "'label' is 5, expected 0 to 4"),
        (ClassColumns(["x", "y"]), np.full(3, 0.2), r"expected probabilities \(2,\)"),
        (ClassColumns(["x", "y"]), np.array([0.2, np.nan]), "y is nan, expected a probability"),
        (Labels(3, output="tags"), np.ones(3, bool), r"requires 'tags', the prediction has \['label'\]"),
    ],
)
def test_wrong_predictions_leave_no_file(tmp_path, format_, array, message):
    with pytest.raises(SubmissionError, match=message):
        format_.write([("a", {"label": array})], tmp_path / "s.csv")
    assert not list(tmp_path.iterdir())


def test_a_separator_inside_a_class_is_refused():
    with pytest.raises(ValueError, match="class 'clear sky' contains it"):
        Labels(["haze", "clear sky"])
