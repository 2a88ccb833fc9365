"""Files of labelme, as labelme's own converter reads them."""

import base64
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datamodules.plain import ImageData
from datamodules.targets import LabelMe, LabelMeFlags

CASES = Path(__file__).parents[2] / "fixtures" / "labelme"  # made by labelme, see its README
TABLE = pd.DataFrame({"image_id": list("012")})
SIZE = (90, 120)


def read(target, image_id="0", root=CASES, table=TABLE, size=SIZE):
    target.prepare(table, root)
    return target.read(SimpleNamespace(image_id=image_id), size)


def png(array):
    stored = io.BytesIO()
    Image.fromarray(array).save(stored, "PNG")
    return base64.b64encode(stored.getvalue()).decode()


def shape(kind="polygon", points=((1, 1), (8, 1), (8, 6)), label="car", **others):
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind, **others}


def written(root, *shapes, name="a", **others):
    content = {"shapes": list(shapes), "imagePath": f"{name}.png", "imageHeight": 10, "imageWidth": 12, **others}
    (root / f"{name}.json").write_text(json.dumps(content))
    return root


def one(target, root, table=None):
    table = pd.DataFrame({"image_id": ["a"]}) if table is None else table
    return read(target, "a", root, table, (10, 12))


# --- as labelme's own converter --------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_id", TABLE["image_id"])
@pytest.mark.parametrize("output", ["classes", "instances"])
def test_every_kind_of_shape_has_the_pixels_that_labelme_gives_it(image_id, output):
    array = read(LabelMe("{image_id}.json", output, width=10), image_id)[{"classes": "mask"}.get(output, output)]
    np.testing.assert_array_equal(array, np.asarray(Image.open(CASES / f"{image_id}_{output}.png")))
    assert array.dtype == {"classes": np.int64, "instances": np.int32}[output]


@pytest.mark.parametrize("image_id", TABLE["image_id"])
def test_channels_are_the_union_of_the_shapes_of_a_class(image_id):
    """Two classes may share a pixel: the last one of the class map is among them."""
    channels = read(LabelMe("{image_id}.json", "channels", width=10), image_id)["mask"]
    classes = np.asarray(Image.open(CASES / f"{image_id}_classes.png"))
    assert channels.shape == (3, *SIZE)
    np.testing.assert_array_equal(channels.any(0), classes > 0)
    for number in range(3):
        assert (channels[number][classes == number + 1] == 1).all()


@pytest.mark.parametrize("image_id", TABLE["image_id"])
def test_boxes_span_the_shapes_of_an_object(image_id):
    arrays = read(LabelMe("{image_id}.json", "boxes", width=10), image_id)
    expected = {}
    for number, item in enumerate(json.loads((CASES / f"{image_id}.json").read_text())["shapes"]):
        xs, ys = zip(*item["points"], strict=True)
        kind, more = item["shape_type"], 0.0
        if kind == "circle":
            more = math.dist(*item["points"])
            xs, ys = xs[:1], ys[:1]
        elif kind in ("line", "linestrip", "point"):
            more = 5
        box = [min(xs) - more, min(ys) - more, max(xs) + more, max(ys) + more]
        if kind == "mask":
            with Image.open(io.BytesIO(base64.b64decode(item["mask"]))) as image:
                inside = np.argwhere(np.asarray(image))
            (y1, x1), (y2, x2) = inside.min(0), inside.max(0) + 1
            box = [xs[0] + x1, ys[0] + y1, xs[0] + x2, ys[0] + y2]
        key = (item["label"], number if item["group_id"] is None else f"group {item['group_id']}")
        other = expected.get(key, box)
        expected[key] = [*(min(a, b) for a, b in zip(box[:2], other[:2], strict=True)),
                         *(max(a, b) for a, b in zip(box[2:], other[2:], strict=True))]  # fmt: skip
    inside = np.clip(np.array(list(expected.values())), 0, SIZE[::-1] * 2)
    np.testing.assert_allclose(arrays["boxes"], inside, atol=1e-4)
    assert arrays["labels"].tolist() == [["car", "lake", "tree"].index(label) for label, _ in expected]


# --- classes ---------------------------------------------------------------------------------------------------------


def test_labels_are_sorted_over_all_files_whatever_the_table_is():
    target = LabelMe("{image_id}.json", "classes", width=10)
    assert target.class_names(CASES) == ["background", "car", "lake", "tree"]
    first = read(target, "1", table=TABLE[1:2])["mask"]
    np.testing.assert_array_equal(first, np.asarray(Image.open(CASES / "1_classes.png")))


def test_chosen_labels_and_the_names_of_the_data():
    classes = np.asarray(Image.open(CASES / "0_classes.png"))
    target = LabelMe("{image_id}.json", "channels", classes=["tree", "car"], width=10)
    assert read(target)["mask"].shape == (2, *SIZE)
    named = LabelMe("{image_id}.json", "classes", width=10)
    data = ImageData(str(CASES), "*_classes.png", [named], classes=["nothing", "tree", "lake", "car"])
    assert data.class_names == ["nothing", "tree", "lake", "car"]
    np.testing.assert_array_equal(read(named)["mask"], np.array([0, 3, 2, 1])[classes])


def test_a_label_that_no_file_has(tmp_path):
    written(tmp_path, shape())
    with pytest.raises(ValueError, match=r"no shape of 1 images has the label 'Car', only 'car'; check the target's"):
        one(LabelMe("{image_id}.json", "classes", classes=["Car"]), tmp_path)
    with pytest.warns(UserWarning, match="has the label 'bus', only 'car'"):
        one(LabelMe("{image_id}.json", "classes", classes=["bus", "car"]), tmp_path)


def test_void_labels_and_flags(tmp_path):
    square = ((2, 2), (5, 5))
    written(
        tmp_path,
        shape("rectangle", ((0, 0), (3, 9)), "__ignore__"),
        shape("rectangle", square),
        shape("rectangle", ((8, 0), (11, 9)), flags={"crowd": True, "night": False}),
    )
    arrays = one(LabelMe("{image_id}.json", "classes", void=["__ignore__", "crowd"]), tmp_path)
    mask, valid = np.zeros((10, 12), int), np.ones((10, 12), bool)
    valid[:, :4], valid[:, 8:] = False, False
    mask[2:6, 2:6], valid[2:6, 2:6] = 1, True
    np.testing.assert_array_equal(arrays["mask"], mask)
    np.testing.assert_array_equal(arrays["valid"], valid)
    boxes = one(LabelMe("{image_id}.json", "boxes", void=["__ignore__", "crowd"]), tmp_path)
    assert boxes["boxes"].tolist() == [[2, 2, 5, 5]]


def test_the_background_of_labelme_is_no_class(tmp_path):
    written(tmp_path, shape(label="_background_"), shape(label="tree"))
    assert LabelMe("{image_id}.json", "channels").class_names(tmp_path) == ["tree"]
    assert one(LabelMe("{image_id}.json", "channels"), tmp_path)["mask"].shape == (1, 10, 12)


def test_windows_are_parts_of_the_whole(tmp_path):
    target = LabelMe("{image_id}.json", "instances", width=10)
    whole = read(target)["instances"]
    part = target.read_window(SimpleNamespace(image_id="0"), SIZE, (20, 33, 40, 50))["instances"]
    np.testing.assert_array_equal(part > 0, whole[20:60, 33:83] > 0)


# --- flags of images -------------------------------------------------------------------------------------------------


def test_flags_of_images(tmp_path):
    written(tmp_path, name="a", flags={"dog": True, "cat": False})
    written(tmp_path, name="b", flags={"cat": True})
    table, target = pd.DataFrame({"image_id": ["a", "b"]}), LabelMeFlags("{image_id}.json")
    assert target.class_names(tmp_path) == ["cat", "dog"]
    assert read(target, "a", tmp_path, table)["label"].tolist() == [0, 1]
    assert read(LabelMeFlags("{image_id}.json", ["dog", "cat"]), "b", tmp_path, table)["label"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="no file has the flag 'cow', only 'cat', 'dog'"):
        read(LabelMeFlags("{image_id}.json", ["cow"]), "a", tmp_path, table)


# --- faults ----------------------------------------------------------------------------------------------------------


def test_images_without_a_file(tmp_path):
    written(tmp_path, shape())
    table = pd.DataFrame({"image_id": ["a", "b", "c"]})
    with pytest.warns(
        UserWarning, match="2 of 3 images have no labelme file; the first is 'b': no file .*b.json; they"
    ):
        assert not read(LabelMe("{image_id}.json", "classes"), "b", tmp_path, table)["mask"].any()
    with pytest.raises(FileNotFoundError, match="2 of 3 images have no labelme file"):
        LabelMe("{image_id}.json", "classes", required=True).prepare(table, tmp_path)
    with pytest.raises(FileNotFoundError, match="2 of 2 images have no labelme file"):
        LabelMe("{image_id}.json", "classes").prepare(table[1:], tmp_path)


def test_an_image_of_another_size(tmp_path):
    written(tmp_path, shape(), imageWidth=10, imageHeight=12)
    with pytest.raises(ValueError, match="a.json: image 'a' is declared 10 x 12 .*, but is 12 x 10"):
        one(LabelMe("{image_id}.json", "classes"), tmp_path)


def test_lines_and_points_need_a_width(tmp_path):
    written(tmp_path, shape(), shape("line", ((0, 0), (5, 5)), "crack"))
    for output in ("classes", "boxes"):
        with pytest.raises(
            ValueError, match=r"a.json, shape 2 \('crack'\): a line has no area; set width of the target"
        ):
            one(LabelMe("{image_id}.json", output), tmp_path)
    assert one(LabelMe("{image_id}.json", "classes", classes=["car"]), tmp_path)["mask"].max() == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ([], "is not a file of labelme: it has no list 'shapes'"),
        ({"shapes": [{"points": []}]}, "shape 1 has no label"),
        ({"shapes": [shape("blob")]}, r"shape 1 \('car'\): shape_type is 'blob', expected one of polygon, "),
        ({"shapes": [shape(points=((1, 1), (2, 2)))]}, "a polygon of 2 points, expected 3 or more"),
        ({"shapes": [shape("circle")]}, "a circle of 3 points, expected 2"),
        ({"shapes": [shape(points=(("x", 1), (2, 2)))]}, r"points is \[\['x', 1\]"),
        ({"shapes": [shape(points=((float("nan"), 1), (2, 2), (3, 3)))]}, "points is .*nan"),
        ({"shapes": [shape(group_id="a")]}, "group_id is 'a', expected a whole number or null"),
        ({"shapes": [shape("mask", ((0, 0), (1, 1)), mask="!")]}, "mask is not a PNG in base64"),
        ({"shapes": [shape("mask", ((0, 0), (1, 1)))]}, "mask is not a PNG in base64"),
        ({"shapes": [shape("mask", ((0, 0), (1, 1)), mask=png(np.ones((3, 2), bool)))]}, r"\(3, 2\), but .*\(2, 2\)"),
        ({"shapes": [], "flags": ["a"]}, "flags is"),
    ],
)
def test_files_that_say_something_else(tmp_path, fault, message):
    (tmp_path / "a.json").write_text(json.dumps(fault))
    with pytest.raises(ValueError, match=rf"a\.json.*{message}"):
        one(LabelMe("{image_id}.json", "classes"), tmp_path)


def test_a_file_that_changes_is_read_again(tmp_path):
    written(tmp_path, shape())
    first = one(LabelMe("{image_id}.json", "classes"), tmp_path)["mask"].sum()
    written(tmp_path, shape(), shape("rectangle", ((0, 0), (11, 9))))
    assert one(LabelMe("{image_id}.json", "classes"), tmp_path)["mask"].sum() == 120 > first
