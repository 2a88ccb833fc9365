"""Labels of whole images, and boxes, from the tables and files of competitions."""

from types import SimpleNamespace

import albumentations
import numpy as np
import pandas as pd
import pytest

from augmentations.albumentations_steps import Albumentations
from datamodules.targets import Boxes, Labels

TABLE = pd.DataFrame({"image_id": ["001", "NA", "c"], "grade": ["0", "2", "1"]})


def labels(root, text, **settings):
    (root / "labels.csv").write_text(text)
    target = Labels(csv="labels.csv", **settings)
    target.prepare(TABLE, root)
    return [target.read(row, (4, 4))["label"] for row in TABLE.itertuples(index=False)]


def test_single_multi_one_hot_and_ordinal(tmp_path):
    single = labels(tmp_path, "image_id,kind\n001,cat\nNA,dog\nc.jpg,cat\n", columns="kind", classes=["cat", "dog"])
    assert [int(value) for value in single] == [0, 1, 0]
    assert single[0].dtype == np.int64
    hpa = {"columns": "Target", "classes": 28, "kind": "multi", "id_column": "Id"}
    multi = labels(tmp_path, "Id,Target\n001,16 0\nNA,27\nc,\n", **hpa)
    assert [np.flatnonzero(value).tolist() for value in multi] == [[0, 16], [27], []]
    pipes = labels(tmp_path, "Id,Target\n001,16|0\nNA,27\nc,1|1\n", **hpa, separator="|")
    assert [np.flatnonzero(value).tolist() for value in pipes] == [[0, 16], [27], [1]]
    rows = labels(tmp_path, "Id,Target\n001,16\nNA,27\nc,3\n001,0\n", **hpa, several_rows=True)
    np.testing.assert_array_equal(rows[0], multi[0])
    one_hot = labels(tmp_path, "image_id,a,b\n001,1,0\nNA,0,0\nc,1.0,1\n", columns=["a", "b"], kind="one_hot")
    assert np.stack(one_hot).tolist() == [[1, 0], [0, 0], [1, 1]]
    target = Labels("grade", kind="ordinal", classes=4)
    target.prepare(TABLE, tmp_path)
    grades = [target.read(row, (4, 4))["label"].tolist() for row in TABLE.itertuples(index=False)]
    assert grades == [[0, 0, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "image_id,kind\n001,cat\nNA,dog\nc,owl\n",
            {"columns": "kind", "classes": ["cat", "dog"]},
            "'c' has class 'owl'",
        ),
        (
            "image_id,kind\n001,cat\nNA,dog\n",
            {"columns": "kind", "classes": ["cat", "dog"]},
            "no row for 1 of 3 images; the first is 'c'",
        ),
        (
            "image_id,kind\n001,0\nNA,1\nc,0\nc,1\n",
            {"columns": "kind", "classes": 2},
            "2 rows for image 'c', expected 1; set several_rows",
        ),
        ("image_id,kind\n001,0\nNA,1\nc,0\n", {"columns": "type", "classes": 2}, "no column 'type', only"),
        ("name,kind\n001,0\nNA,1\nc,0\n", {"columns": "kind", "classes": 2}, "no column 'image_id'"),
        (
            "image_id,a,b\n001,1,0\nNA,0,2\nc,1,1\n",
            {"columns": ["a", "b"], "kind": "one_hot"},
            "'NA' has '2', expected 0 or 1",
        ),
    ],
)
def test_mistakes_name_image_and_value(tmp_path, text, settings, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, text, **settings)


@pytest.mark.parametrize(
    ("kind", "columns", "first", "same", "other"),
    [
        ("single", "kind", "cat", " cat", "dog"),
        ("ordinal", "kind", "0", "0 ", "2"),
        ("number", "kind", "1.5", "1.50", "1.51"),
        ("one_hot", ["kind", "b"], "1,0", "1.0,0", "1,1"),
    ],
)
def test_rows_of_an_image_that_contradict_each_other_are_refused(tmp_path, kind, columns, first, same, other):
    classes = None if kind in ("number", "one_hot") else ["cat", "dog"] if kind == "single" else 3
    settings = {"columns": columns, "kind": kind, "classes": classes, "several_rows": True}
    header = "image_id,kind" + (",b" if kind == "one_hot" else "")
    text = f"{header}\n001,{first}\nNA,{first}\nc,{first}\nc,"
    agreed = labels(tmp_path, text + same + "\n", **settings)
    assert agreed[2].tolist() == agreed[0].tolist()
    with pytest.raises(ValueError, match=rf"labels\.csv: the rows of image 'c' differ.*kind {kind}"):
        labels(tmp_path, text + other + "\n", **settings)


def test_a_decimal_comma_is_told(tmp_path):
    with pytest.raises(ValueError, match="image 'NA' has '2,5', expected a number; numbers have a point"):
        labels(tmp_path, 'image_id,kind\n001,1\nNA,"2,5"\nc,3\n', columns="kind", kind="number")


def test_labels_of_paths_meet_their_images(tmp_path):
    (tmp_path / "labels.csv").write_text("file,kind\ntrain/001.jpg,cat\nval/001.jpg,dog\ntrain\\NA.jpg,dog\n")
    table = pd.DataFrame(
        {"image_id": ["001", "NA"], "path": [f"{tmp_path}/train/{name}.jpg" for name in ("001", "NA")]}
    )
    target = Labels("kind", csv="labels.csv", id_column="file", classes=["cat", "dog"])
    target.prepare(table, tmp_path)
    assert [int(target.values[name]) for name in ("001", "NA")] == [0, 1]
    (tmp_path / "labels.csv").write_text("file,kind\n1,cat\nNA,dog\n")
    with pytest.raises(
        ValueError, match="column file has no row for 1 of 2 images; the first is '001'.*with their leading zeros"
    ):
        target.prepare(table, tmp_path)


# --- boxes -----------------------------------------------------------------------------------------------------------


def boxes_of(target, image_id, size, root):
    target.prepare(pd.DataFrame({"image_id": [image_id]}), root)
    return target.read(SimpleNamespace(image_id=image_id), size)


def test_three_formats_of_real_files_agree(competition_data):
    root = competition_data / "det_deepforest"

    def pair(**settings):
        csv = Boxes("OSBS_029.csv", "csv", id_column="image_path", class_column="label", **settings)
        return [
            boxes_of(target, "OSBS_029", (400, 400), root)
            for target in (csv, Boxes("{image_id}.xml", "voc", classes=["Tree"], **settings))
        ]

    # The CSV holds the XML's numbers, whose boxes at the sides begin at 1 and end at 400: both count from 1.
    csv, voc = pair(base=1)
    assert len(csv["boxes"]) == 61
    np.testing.assert_array_equal(csv["boxes"], voc["boxes"])
    standard = boxes_of(Boxes("{image_id}.xml", "voc", classes=["Tree"]), "OSBS_029", (400, 400), root)
    np.testing.assert_array_equal(standard["boxes"], voc["boxes"])
    assert voc["boxes"].min() == 0
    assert voc["boxes"].max() == 400
    csv, voc = pair(base=0)
    np.testing.assert_array_equal(csv["boxes"], voc["boxes"])
    assert (voc["boxes"] - standard["boxes"] == [1, 1, 0, 0]).all()
    assert csv["labels"].dtype == np.int64
    two = Boxes("testfile_multi.csv", "csv", ["Dead", "Alive"], "image_path", class_column="label")
    found = boxes_of(two, "SOAP_061", (400, 400), root)
    assert set(found["labels"].tolist()) == {0, 1}
    coco = Boxes("coco_sample_file.json", "coco")
    total = [
        boxes_of(coco, name, (2048, 2048), root)
        for name in ("5dded5bc0140b80006d2e565_23", "5b90f92da0d7280005fab355_4310")
    ]
    assert sum(len(one["boxes"]) for one in total) > 0
    for one in total:
        assert (one["boxes"][:, 2:] > one["boxes"][:, :2]).all()


def test_rows_without_a_box_and_corner_with_size(tmp_path):
    (tmp_path / "rsna.csv").write_text("patientId,x,y,width,height,Target\na,,,,,0\nb,2,3,4,5,1\nb,0,0,2,2,1\n")
    rsna = Boxes("rsna.csv", "csv", id_column="patientId", layout="xywh")
    assert boxes_of(rsna, "a", (20, 20), tmp_path)["boxes"].shape == (0, 4)
    assert boxes_of(rsna, "b", (20, 20), tmp_path)["boxes"].tolist() == [[2, 3, 6, 8], [0, 0, 2, 2]]
    cut = rsna.read(SimpleNamespace(image_id="b", window=(4, 3, 10, 10)), (10, 10))
    assert cut["boxes"].tolist() == [[0, 0, 3, 4]]
    with pytest.raises(ValueError, match="is outside of its size"):
        rsna.read(SimpleNamespace(image_id="b"), (2, 2))
    (tmp_path / "bad.csv").write_text("image_id,xmin,ymin,xmax,ymax\na,5,5,3,8\n")
    with pytest.raises(ValueError, match="bad.csv, row 2: box .* has no area; is its layout xyxy"):
        boxes_of(Boxes("bad.csv", "csv"), "a", (20, 20), tmp_path)


def test_boxes_move_with_the_image():
    image = np.zeros((40, 50, 3), np.uint8)
    image[10:20, 5:15] = 255
    boxes, numbers = np.array([[5, 10, 15, 20], [40, 30, 50, 40]], np.float32), np.array([3, 7])
    flip = Albumentations([albumentations.HorizontalFlip(p=1), albumentations.RandomRotate90(p=1)])
    for seed in range(4):
        moved, arrays = flip(image, {"boxes": boxes, "labels": numbers}, seed)
        left, top, right, bottom = arrays["boxes"][0].astype(int)
        assert (moved[top:bottom, left:right] == 255).all()
        assert (moved == 255).sum() == 300
        assert arrays["labels"].tolist() == [3, 7]
    _, arrays = Albumentations([albumentations.Crop(0, 0, 30, 25)])(image, {"boxes": boxes, "labels": numbers}, 0)
    np.testing.assert_allclose(arrays["boxes"], [[5, 10, 15, 20]], atol=1e-4)
    assert arrays["labels"].tolist() == [3]
