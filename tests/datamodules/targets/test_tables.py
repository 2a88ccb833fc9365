"""Every target that reads a table of names: nothing matches, some do, some are too many, paths of equal names."""

import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import pandas as pd
import pytest

from datamodules.targets import Boxes, Labels, LongLabels, Polygons, RunLengths

SQUARE = '"POLYGON ((1 1, 9 1, 9 9, 1 9, 1 1))"'
# What a row says of an image, the target that reads such rows, and whether each image must have one.
TARGETS = {
    "boxes": ("{},1,1,6,6", lambda: Boxes("t.csv", "csv", columns=["a", "b", "c", "d"]), False),
    "polygons": (f"{{}},{SQUARE},,,", lambda: Polygons(csv="t.csv", id_column="image_id", wkt_column="a"), False),
    "run lengths": ("{},1 3,,,", lambda: RunLengths("t.csv", "image_id", "a"), True),
    "labels": ("{},1,,,", lambda: Labels("a", csv="t.csv", classes=2), True),
    "long labels": ("{}_x,1,,,", lambda: LongLabels("t.csv", ["x"], id_column="image_id", value_column="a"), True),
}

if find_spec("shapely") is None:
    del TARGETS["polygons"]


def prepared(root, kind, names, ids=("001", "002")):
    row, make, _ = TARGETS[kind]
    rows = [row.format(name) for name in names]
    (root / "t.csv").write_text("\n".join(["image_id,a,b,c,d", *rows]))
    target = make()
    target.prepare(pd.DataFrame({"image_id": list(ids), "path": [f"{root}/train/{name}.jpg" for name in ids]}), root)
    return target


def read(target, image_id="001"):
    return target.read(SimpleNamespace(image_id=image_id), (20, 30))


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["IMG_001", "IMG_002"], "without 'IMG_' before them"),
        (["1", "2"], "with their leading zeros"),
        (["val/001.jpg", "val/002.jpg"], "Only their folders differ"),
        (["other"], ""),
    ],
)
def test_tables_of_other_images_are_refused(tmp_path, kind, names, hint):
    with pytest.raises(ValueError, match=rf"t\.csv, column image_id.*'001', '002'.*{hint}"):
        prepared(tmp_path, kind, names)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize(
    "write",
    [
        "{}".format,
        "{}.jpg".format,
        "{}.JPG".format,
        "train/{}.jpg".format,
        "./train/{}".format,
        "https://host/train/{}.jpg".format,
        " {} ".format,
    ],
)
def test_ids_and_paths_mean_their_images(tmp_path, kind, write):
    if kind == "long labels" and "." in write("1"):
        pytest.skip("the class stands behind the id, so it has no ending")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = prepared(
            tmp_path, kind, [write(name).strip() if kind == "long labels" else write(name) for name in ("001", "002")]
        )
    for name in ("001", "002"):
        assert all(len(array) if array.ndim else array == 1 for array in read(target, name).values())


@pytest.mark.parametrize("kind", TARGETS)
def test_names_of_no_image_are_told(tmp_path, kind):
    with pytest.warns(UserWarning, match=r"t\.csv, column image_id.*: 4 of 6 names match no image: '3', '4', '5', …"):
        target = prepared(tmp_path, kind, ["001", "002", "3", "4", "5", "6"])
    assert read(target)
    with pytest.warns(UserWarning, match=r"have backslashes"):
        prepared(tmp_path, kind, [r"train\001", r"train\002"])


@pytest.mark.parametrize("kind", TARGETS)
def test_images_without_a_row_are_told_or_refused(tmp_path, kind):
    names = ["001", "3"]
    if TARGETS[kind][2]:
        with pytest.raises(ValueError, match="no row for 1 of 2 images; the first is '002'"):
            prepared(tmp_path, kind, names)
    else:
        with pytest.warns(UserWarning, match="1 of 2 names match no image: '3'; 1 of 2 images have no name"):
            prepared(tmp_path, kind, names)


@pytest.mark.parametrize("kind", TARGETS)
def test_two_spellings_of_an_image_are_refused(tmp_path, kind):
    with pytest.raises(ValueError, match="'001' and 'train/001' both match the image '001'"):
        prepared(tmp_path, kind, ["001", "002", "train/001"])


@pytest.mark.parametrize("kind", TARGETS)
def test_pictures_of_equal_names_do_not_mix(tmp_path, kind):
    with pytest.warns(UserWarning, match="2 of 4 names match no image: 'val/001', 'val/002'"):
        target = prepared(tmp_path, kind, ["train/001", "val/001", "train/002", "val/002"])
    if kind == "boxes":
        assert len(read(target)["boxes"]) == 1


@pytest.mark.parametrize("kind", TARGETS)
def test_tables_that_are_none_are_refused_with_their_line(tmp_path, kind):
    prepared(tmp_path, kind, ["001", "002"])
    text = (tmp_path / "t.csv").read_text()
    for content, message in (
        (text.replace("002", "é").encode("latin-1"), r"t\.csv, line 3: byte 0xe9"),
        (text.replace(",", ";").encode(), r"t\.csv, line 1: fields are separated by semicolons"),
        ((text + "\nx").encode(), r"t\.csv, line 4: 1 field, the header has 5"),
        (b"", r"t\.csv is empty"),
        (text.encode("utf-16"), r"t\.csv is UTF-16"),
    ):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            TARGETS[kind][1]().prepare(pd.DataFrame({"image_id": ["001"]}), tmp_path)
