"""What every format refuses: other ids than the sample's, rows twice, rows missing, values that cannot be."""

import csv
import functools

import numpy as np
import pytest

from submissions import (
    Boxes,
    Cells,
    ClassColumns,
    ClassPolygons,
    ClassRows,
    ClassRunLengths,
    InstanceRunLengths,
    Labels,
    Ordinal,
    Polygons,
    RunLengths,
    SubmissionError,
)

SIZE = (9, 11)
IDS = ["a", "b", "c"]
MASK = np.zeros((2, *SIZE), bool)
MASK[0, 2:5, 3:7] = True
IDS_OF_OBJECTS = np.where(MASK[0], 1, 0).astype(np.int32)
BOXES = np.array([[1, 1, 5, 6, 0.5, 1]], np.float32)

# format, a prediction, and one whose numbers cannot be
FORMATS = {
    "SIIM": (
        functools.partial(RunLengths, relative=True, base=0, empty="-1"),
        {"mask": MASK[:1]},
        {"mask": np.full((1, *SIZE), np.nan)},
    ),
    "TGS": (functools.partial(RunLengths, "id", "rle_mask"), {"mask": MASK[:1]}, {"mask": MASK[:1] * 0.5}),
    "HuBMAP": (
        functools.partial(RunLengths, "id", "predicted"),
        {"mask": MASK[:1]},
        {"mask": MASK[:1].astype(np.float32)},
    ),
    "Carvana": (
        functools.partial(RunLengths, "img", "rle_mask", order="row", suffix=".jpg"),
        {"mask": MASK[:1]},
        {"mask": MASK},
    ),
    "DSB": (InstanceRunLengths, {"instances": IDS_OF_OBJECTS}, {"instances": IDS_OF_OBJECTS * np.nan}),
    "Airbus": (
        functools.partial(InstanceRunLengths, suffix=".jpg"),
        {"instances": IDS_OF_OBJECTS},
        {"instances": -IDS_OF_OBJECTS},
    ),
    "Clouds": (
        functools.partial(ClassRunLengths, ["Fish", "Sugar"], suffix=".jpg"),
        {"mask": MASK},
        {"mask": MASK[:1]},
    ),
    "UW-Madison": (
        functools.partial(ClassRunLengths, ["bowel", "stomach"], "id", "class", "predicted", "row"),
        {"mask": MASK},
        {"mask": np.where(MASK, np.nan, 0)},
    ),
    "DSTL": (functools.partial(ClassPolygons, ["1", "2"]), {"mask": MASK}, {"mask": np.where(MASK, np.nan, 0)}),
    "SpaceNet": (Polygons, {"instances": IDS_OF_OBJECTS}, {"instances": IDS_OF_OBJECTS * np.nan}),
    "HPA 2018": (functools.partial(Labels, 3), {"label": np.array([1, 0, 1], bool)}, {"label": np.full(3, np.nan)}),
    "Planet": (
        functools.partial(Labels, ["haze", "water"], "image_name", "tags"),
        {"label": np.array([True, True])},
        {"label": np.array([0.2, 0.7])},
    ),
    "APTOS": (Ordinal, {"label": np.array(2)}, {"label": np.array(np.nan)}),
    "cervical": (
        functools.partial(ClassColumns, ["T1", "T2"], suffix=".jpg"),
        {"label": np.array([0.25, 0.75], np.float32)},
        {"label": np.array([0.25, np.nan], np.float32)},
    ),
    "RSNA haemorrhage": (
        functools.partial(ClassRows, ["any", "subdural"]),
        {"label": np.array([0.25, 0.75], np.float32)},
        {"label": np.array([np.nan, 0.5], np.float32)},
    ),
    "RSNA pneumonia": (
        functools.partial(Boxes, None, "xywh", "patientId"),
        {"boxes": BOXES},
        {"boxes": BOXES * np.nan},
    ),
    "VinBigData": (functools.partial(Boxes, 15, empty="14 1 0 0 1 1"), {"boxes": BOXES}, {"boxes": BOXES + 20}),
    "HPA 2021": (
        functools.partial(Cells, 2),
        {"instances": IDS_OF_OBJECTS, "scores": np.array([[0.5, 0.25]])},
        {"instances": IDS_OF_OBJECTS, "scores": np.array([[0.5, np.nan]])},
    ),
}


@pytest.fixture(params=list(FORMATS))
def case(request, tmp_path):
    """A format, a prediction that can be and one that cannot, a good file, and its rows."""
    make, good, bad = FORMATS[request.param]
    if request.param in ("DSTL", "SpaceNet"):
        pytest.importorskip("rasterio")
    made, path = make(), tmp_path / "good.csv"
    made.write([(image_id, good) for image_id in IDS], path, None, dict.fromkeys(IDS, SIZE))
    with open(path, newline="") as handle:
        rows = list(csv.reader(handle))
    yield made, good, bad, path, rows
    assert not list(tmp_path.glob("*.tmp"))


def written(path, rows):
    path = path.with_name("changed.csv")
    with open(path, "w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    return path


def refused(case, rows, message, sizes=True):
    made, *_, path, _ = case
    with pytest.raises(SubmissionError, match=message):
        made.validate(written(path, rows), path, dict.fromkeys(IDS, SIZE) if sizes else None)


def test_the_good_file_passes(case):
    made, *_, path, _ = case
    made.validate(path, path, dict.fromkeys(IDS, SIZE))


def test_a_missing_row(case):
    rows = case[-1]
    left = [row for row in rows if not row[0].startswith("b")]
    refused(case, left, r"\d ids of the sample are missing \['b")


def test_a_row_twice(case):
    made, rows = case[0], case[-1]
    if made.several_rows:  # each row is an object: the same one again overlaps itself, or has the same number
        refused(case, [*rows, rows[-1]], r"row 5, image 'c': .*(overlaps|is repeated)")
    else:
        refused(case, [*rows, rows[-1]], rf"row {len(rows) + 1}: image 'c.*' has a second row")
    again = [*rows, rows[1]]
    refused(case, again, rf"row {len(rows) + 1}: image 'a.*' is repeated")


def test_a_wrong_id(case):
    rows = case[-1]
    wrong = [[row[0].replace("b", "x", 1) if row[0].startswith("b") else row[0], *row[1:]] for row in rows]
    refused(case, wrong, r"are missing \['b.*not in the sample \['x")


def test_another_order(case):
    header, *rows = case[-1]
    refused(case, [header, *rows[::-1]], "as in the sample|is repeated")


def test_no_column(case):
    rows = case[-1]
    refused(case, [row[:-1] for row in rows], "columns are")


def test_a_column_too_many(case):
    rows = case[-1]
    refused(case, [[*row, "extra"] for row in rows], "columns are")


@pytest.mark.parametrize("name", FORMATS)
def test_ids_stay_text(tmp_path, name):
    """A table reader of its own mind makes 1.0 of 001, nothing of NA and 100000 of 1e5."""
    make, good, _ = FORMATS[name]
    if name in ("DSTL", "SpaceNet"):
        pytest.importorskip("rasterio")
    made, path, ids = make(), tmp_path / "good.csv", ["001", "NA", "1e5", "nan", "1_000", "-7"]
    made.write([(image_id, good) for image_id in ids], path, None, dict.fromkeys(ids, SIZE))
    made.validate(path, path, dict.fromkeys(ids, SIZE))
    assert list(made.read(path, dict.fromkeys(ids, SIZE))) == ids
    with open(path, newline="") as handle:
        rows = list(csv.reader(handle))
    changed = [[row[0].replace("001", "1", 1) if row[0].startswith("001") else row[0], *row[1:]] for row in rows]
    with pytest.raises(SubmissionError, match=r"are missing \['001.*not in the sample \['1"):
        made.validate(written(path, changed), path, dict.fromkeys(ids, SIZE))


@pytest.mark.parametrize("text", ["nan", "1 2 x", "NaN NaN"])
def test_a_value_that_is_none(case, text):
    made, rows = case[0], case[-1]
    place = 2 if isinstance(made, Polygons) else -1
    changed = [list(row) for row in rows]
    changed[2][place] = text
    refused(case, changed, r"row [2-4], image '[abc]'")


def test_a_prediction_that_cannot_be_leaves_no_file(case):
    made, good, bad, path, _ = case
    output = path.with_name("bad.csv")
    with pytest.raises(SubmissionError, match="'b'"):
        made.write([("a", good), ("b", bad), ("c", good)], output, path, dict.fromkeys(IDS, SIZE))
    assert not output.exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("ab", r"1 ids? without|ids without a prediction \['c"),
        ("abcd", r"without an id \['d"),
        ("aabc", "'a' has two predictions"),
    ],
)
def test_other_predictions_than_the_samples_leave_no_file(case, ids, message):
    made, good, _, path, _ = case
    output = path.with_name("bad.csv")
    with pytest.raises(SubmissionError, match=message):
        made.write([(image_id, good) for image_id in ids], output, path, dict.fromkeys("abcd", SIZE))
    assert not output.exists()


def test_a_file_above_the_limit_is_not_left(case):
    made, good, _, path, _ = case
    output = path.with_name("large.csv")
    arguments = [(image_id, good) for image_id in "abc"], output, path, dict.fromkeys("abc", SIZE)
    with pytest.raises(SubmissionError, match=r"large.csv would be 0.0 MB, competition.max_file_size is 1e-06"):
        made.write(*arguments, max_file_size=1e-6)
    assert list(path.parent.glob("large*csv*")) == []
    made.write(*arguments, max_file_size=1)
    assert output.is_file()


RUNS = [
    name for name in FORMATS if name in ("SIIM", "TGS", "HuBMAP", "Carvana", "DSB", "Airbus", "Clouds", "UW-Madison")
]


@pytest.mark.parametrize("case", RUNS, indirect=True)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("90 20", "exceeds the mask"),
        ("5 4 6 2", "starts inside or before"),
        ("5 0", "a length of 0"),
        ("5", "pairs"),
    ],
)
def test_runs_that_cannot_be(case, text, message):
    made, rows = case[0], case[-1]
    if text == "5 4 6 2" and getattr(made, "relative", False):
        text, message = "5 4 -2 2", "starts inside or before"  # gaps cannot overlap unless one is below 0
    changed = [list(row) for row in rows]
    changed[1][-1] = text
    refused(case, changed, f"row 2, image 'a': .*{message}")
