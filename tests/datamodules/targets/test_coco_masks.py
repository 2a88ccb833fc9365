"""Objects of COCO files, against pycocotools."""

import contextlib
import io
import json
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycoco
from pycocotools.coco import COCO

from datamodules.decoder import Decoder
from datamodules.readers import ImageReader
from datamodules.targets import Boxes, CocoMasks
from datamodules.windows import with_window
from files.png import write_png

HEIGHT, WIDTH = SIZE = (32, 40)
TABLE = pd.DataFrame({"image_id": ["a", "b"], "path": ["i/a.png", "i/b.png"]})
KINDS = {9: "dog", 2: "car", 40: "tree"}  # with gaps, and not in order
CORNER = st.tuples(st.floats(-3, 43), st.floats(-3, 35))


def encoded(mask, compressed):
    """A mask as COCO run lengths of either kind, by pycocotools."""
    found = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    if compressed:
        return {"size": list(found["size"]), "counts": found["counts"].decode()}
    flat = mask.T.ravel().astype(int)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    counts = np.diff(starts).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + counts}


@st.composite
def annotation(draw):
    kind = draw(st.sampled_from(["polygons", "compressed", "uncompressed"]))
    if kind == "polygons":
        rings = draw(st.lists(st.lists(CORNER, min_size=3, max_size=7), min_size=1, max_size=3))
        parts = [np.ravel(ring).tolist() for ring in rings]
    else:
        blocks = np.random.default_rng(draw(st.integers(0, 999))).random((8, 10)) < 0.3
        parts = encoded(np.kron(blocks, np.ones((4, 4))) > 0, kind == "compressed")
    return {
        "image_id": draw(st.sampled_from([5, 6])),
        "category_id": draw(st.sampled_from(list(KINDS))),
        "segmentation": parts,
        "iscrowd": int(draw(st.integers(0, 4)) == 0),
        "bbox": [1, 2, 3, 4],
        "area": 1,
    }


def content(*annotations, **changes):
    return {
        "images": [
            {"id": 5, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 6, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": number, "name": name} for number, name in KINDS.items()],
        "annotations": [{"id": 10 + number} | one for number, one in enumerate(annotations)],
    } | changes


def prepared(root, target, table=TABLE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.prepare(table, root)
    return target


def read(target, image_id="a", **more):
    return target.read(SimpleNamespace(image_id=image_id, **more), SIZE)


SOME = st.lists(annotation(), min_size=1, max_size=7)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(annotations=SOME)
def test_every_array_equals_pycocotools(tmp_path, annotations):
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content(*annotations)))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    names = ["car", "dog", "tree"]
    for number, image_id in ((5, "a"), (6, "b")):
        classes, ids = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.int32)
        channels, crowd, boxes = np.zeros((3, *SIZE), np.uint8), np.zeros(SIZE, bool), []
        items = sorted(coco.loadAnns(coco.getAnnIds(number)), key=lambda item: item["id"])
        for item in items:
            mask, label = coco.annToMask(item) > 0, names.index(KINDS[item["category_id"]])
            if item["iscrowd"]:
                crowd |= mask
                continue
            boxes.append(label)
            classes[mask], channels[label][mask] = label + 1, 1
            ids[mask] = len(boxes)
        valid = ~crowd | (ids > 0)
        for output, expected in (("classes", classes), ("channels", channels), ("instances", ids)):
            arrays = read(prepared(tmp_path, CocoMasks("all.json", output)), image_id)
            found = arrays.pop("instances" if output == "instances" else "mask")
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
            assert np.array_equal(arrays.pop("valid", np.ones(SIZE, bool)), valid)
            assert not arrays
        arrays = read(prepared(tmp_path, CocoMasks("all.json", "boxes")), image_id)
        own = read(prepared(tmp_path, Boxes("all.json", "coco", names)), image_id)
        assert arrays.keys() == own.keys()
        assert all(np.array_equal(arrays[name], own[name]) for name in own)
        assert arrays["labels"].tolist() == boxes


@FEW
@given(annotations=SOME, output=st.sampled_from(["classes", "channels", "instances", "boxes"]), window=st.data())
def test_a_window_is_the_part_of_the_whole(tmp_path, annotations, output, window):
    (tmp_path / "i").mkdir(exist_ok=True)
    write_png(tmp_path / "i/a.png", np.zeros(SIZE, np.uint8))
    (tmp_path / "all.json").write_text(json.dumps(content(*annotations)))
    top, left = window.draw(st.integers(0, 20)), window.draw(st.integers(0, 30))
    place = (top, left, window.draw(st.integers(1, 12)), window.draw(st.integers(1, 10)))
    target = prepared(tmp_path, CocoMasks("all.json", output))
    row = SimpleNamespace(image_id="a", path=str(tmp_path / "i/a.png"))
    decoder = Decoder(ImageReader(), [target])
    whole, part = decoder.target_arrays(row), decoder.target_arrays(with_window(row, place))
    assert part.keys() - {"valid"} == whole.keys() - {"valid"}
    cut = (..., slice(top, top + place[2]), slice(left, left + place[3]))
    if output == "boxes":
        kept = [
            [max(x1 - left, 0), max(y1 - top, 0), min(x2 - left, place[3]), min(y2 - top, place[2])]
            for x1, y1, x2, y2 in whole["boxes"].tolist()
            if x1 < left + place[3] and x2 > left and y1 < top + place[2] and y2 > top
        ]
        assert part["boxes"].tolist() == kept
        return
    for name in whole.keys() - {"valid"}:
        assert np.array_equal(part[name], whole[name][cut])
    everywhere = np.ones(SIZE, bool)
    assert np.array_equal(part.get("valid", everywhere[cut]), whole.get("valid", everywhere)[cut])


SQUARE = {"image_id": 5, "category_id": 2, "segmentation": [[2, 1, 6, 1, 6, 4, 2, 4]], "bbox": [2, 1, 4, 3]}
OTHER = SQUARE | {"category_id": 40, "segmentation": [[10, 10, 14, 10, 14, 14, 10, 14]]}


def written(root, *annotations, **changes):
    (root / "all.json").write_text(json.dumps(content(*annotations, **changes)))
    return root


def test_classes_are_chosen_and_named(tmp_path):
    written(tmp_path, SQUARE, OTHER)
    assert CocoMasks("all.json", "classes").class_names(tmp_path) == ["background", "car", "dog", "tree"]
    assert CocoMasks("all.json", "channels").class_names(tmp_path) == ["car", "dog", "tree"]
    assert CocoMasks("all.json", "instances").class_names(tmp_path) is None
    target = prepared(tmp_path, CocoMasks("all.json", "classes", classes=["tree", "dog"]))
    assert target.class_names(tmp_path) == ["background", "tree", "dog"]
    assert np.unique(read(target)["mask"]).tolist() == [0, 1]
    assert prepared(tmp_path, CocoMasks("all.json", "channels", classes=["tree", "dog"])) is not None
    assert read(prepared(tmp_path, CocoMasks("all.json", "boxes", classes=["dog", "tree"])))["labels"].tolist() == [1]
    with pytest.raises(ValueError, match="all.json has no class 'cat', only 'car', 'dog', 'tree'; set target.classes"):
        prepared(tmp_path, CocoMasks("all.json", "classes", classes=["cat"]))


def test_classes_of_the_data_begin_with_the_background(tmp_path):
    written(tmp_path, SQUARE, OTHER)
    target = CocoMasks("all.json", "classes")
    target.take_classes(["nothing", "tree", "car"])
    assert target.class_names(tmp_path) == ["nothing", "tree", "car"]
    assert np.unique(read(prepared(tmp_path, target))["mask"]).tolist() == [0, 1, 2]
    target = CocoMasks("all.json", "classes")
    target.take_classes(["car", "tree"])
    with pytest.raises(ValueError, match=r"data.classes begins with 'car'.*\[background, car, tree\]"):
        prepared(tmp_path, target)
    with pytest.raises(ValueError, match=r"classes is \['car'\], but data.classes has \['dog'\] after the background"):
        CocoMasks("all.json", "classes", classes=["car"]).take_classes(["none", "dog"])


def test_unlabelled_pixels_may_be_void(tmp_path):
    target = prepared(written(tmp_path, SQUARE), CocoMasks("all.json", "classes", unlabelled="void"))
    arrays = read(target)
    assert target.class_names(tmp_path) == ["car", "dog", "tree"]
    assert np.array_equal(arrays["mask"] == 0, arrays["valid"])
    assert np.unique(arrays["mask"]).tolist() == [0, 255]
    assert arrays["valid"].sum() == 12


def test_a_file_per_split(tmp_path):
    for name, item, size in (("train2017", SQUARE, WIDTH), ("val2017", OTHER, WIDTH)):
        image = {"id": 5, "file_name": f"{name}.png", "height": HEIGHT, "width": size}
        (tmp_path / f"instances_{name}.json").write_text(json.dumps(content(item, images=[image])))
    names = ["train2017", "val2017"]
    table = pd.DataFrame({"image_id": names, "path": [f"{tmp_path}/{name}/{name}.png" for name in names]})
    target = CocoMasks("instances_{split}.json", "classes")
    assert target.class_names(tmp_path) == ["background", "car", "dog", "tree"]
    target.prepare(table, tmp_path)
    assert [np.unique(read(target, name)["mask"]).tolist() for name in names] == [[0, 1], [0, 3]]
    assert target.files(SimpleNamespace(image_id="val2017")) == [tmp_path / "instances_val2017.json"]
    boxes = Boxes("instances_{split}.json", "coco", ["car", "dog", "tree"])
    boxes.prepare(table, tmp_path)
    assert [read(boxes, name)["labels"].tolist() for name in names] == [[0], [2]]
    assert boxes.files(SimpleNamespace(image_id="val2017")) == [tmp_path / "instances_val2017.json"]
    (tmp_path / "instances_val2017.json").write_text(
        json.dumps(content(images=[image], categories=[{"id": 1, "name": "x"}]))
    )
    with pytest.raises(ValueError, match="instances_val2017.json has the categories x, but .*train2017.json has car"):
        target.prepare(table, tmp_path)
    (tmp_path / "instances_val2017.json").unlink()
    with pytest.raises(FileNotFoundError, match="1 images have no COCO file; the first is 'val2017'"):
        target.prepare(table, tmp_path)
    with pytest.raises(FileNotFoundError, match="no file has such a path"):
        CocoMasks("labels_{split}.json", "classes").class_names(tmp_path)


def test_objects_without_area_are_told(tmp_path):
    written(tmp_path, SQUARE, SQUARE | {"segmentation": [[1, 1, 5, 5]]}, SQUARE | {"segmentation": []})
    target = CocoMasks("all.json", "instances")
    with pytest.warns(UserWarning, match="2 of 3 annotations have no segmentation.* the first is 11"):
        target.prepare(TABLE, tmp_path)
    assert np.unique(read(target)["instances"]).tolist() == [0, 1]
    box = {name: value for name, value in SQUARE.items() if name != "segmentation"}
    written(tmp_path, box)
    with pytest.raises(ValueError, match="annotation 10 has no segmentation, like all 1; for boxes set output: boxes"):
        prepared(tmp_path, target)
    assert len(read(prepared(tmp_path, CocoMasks("all.json", "boxes")))["boxes"]) == 1


def test_boxes_without_bbox_are_those_of_the_pixels(tmp_path):
    item = {name: value for name, value in SQUARE.items() if name != "bbox"}
    assert read(prepared(written(tmp_path, item), CocoMasks("all.json", "boxes")))["boxes"].tolist() == [[2, 1, 6, 4]]


FAULTS = {
    "a word": (SQUARE | {"segmentation": "x"}, r"annotation 10: segmentation is x, expected lists"),
    "words": (SQUARE | {"segmentation": [["x"] * 6]}, r"annotation 10: segmentation is \[\['x'"),
    "an odd number": (SQUARE | {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "annotation 10: a polygon has 7 numbers"),
    "no number": (
        SQUARE | {"segmentation": [[1, 2, 3, 4, 5, float("nan")]]},
        "annotation 10: a polygon has the number nan",
    ),
    "no counts": (SQUARE | {"segmentation": {"size": [32, 40]}}, r"annotation 10: segmentation has keys \['size'\]"),
    "another size": (
        SQUARE | {"segmentation": {"size": [40, 32], "counts": [0]}},
        r"annotation 10: its run lengths have the size \(H, W\) \(40, 32\), but the image has \(32, 40\)",
    ),
    "too few pixels": (
        SQUARE | {"segmentation": {"size": [32, 40], "counts": [5, 5]}},
        "annotation 10: COCO run lengths cover 10 pixels, expected 1280",
    ),
    "fractions": (
        SQUARE | {"segmentation": {"size": [32, 40], "counts": [5.5]}},
        "annotation 10: COCO run lengths contain 5.5, expected integers",
    ),
    "letters": (
        SQUARE | {"segmentation": {"size": [32, 40], "counts": "é"}},
        "annotation 10: COCO run lengths: letter 0",
    ),
    "coordinates of a larger image": (
        SQUARE | {"segmentation": [[200, 10, 300, 10, 300, 30]]},
        r"annotation 10: corner \[200.0, 10.0\] \(x, y\) is far outside of its image.* is \(32, 40\)",
    ),
    "a box of words": (SQUARE | {"bbox": "x"}, r"annotation 10: bbox is 'x', expected \[x, y, width, height\]"),
    "a box outside": (SQUARE | {"bbox": [90, 1, 5, 5]}, r"annotation 10: bbox \[90, 1, 5, 5\] of image 'a' is outside"),
    "a box below 0": (SQUARE | {"bbox": [1, 2, 3, -4]}, "annotation 10: bbox is .*, expected a width and height"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_annotation(tmp_path, name):
    item, message = FAULTS[name]
    written(tmp_path, item)
    target = CocoMasks("all.json", "boxes" if "box" in name else "instances")
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, target).check(SimpleNamespace(image_id="a"), SIZE)
    with pytest.raises(ValueError, match=message):
        read(prepared(tmp_path, target))


def test_files_of_other_images_and_sizes_are_refused(tmp_path):
    written(tmp_path, SQUARE)
    with pytest.raises(ValueError, match="none of its 2 names matches an image"):
        prepared(tmp_path, CocoMasks("all.json", "classes"), pd.DataFrame({"image_id": ["x", "y"]}))
    target = prepared(tmp_path, CocoMasks("all.json", "classes"))
    with pytest.raises(ValueError, match="is declared 40 x 32"):
        target.check(SimpleNamespace(image_id="a"), (64, 80))
    kinds = [{"id": number, "name": f"c{number}"} for number in range(300)]
    written(tmp_path, SQUARE, categories=kinds)
    with pytest.raises(ValueError, match="300 classes, but class number 255 means void"):
        prepared(tmp_path, CocoMasks("all.json", "classes"))
    assert read(prepared(tmp_path, CocoMasks("all.json", "channels")))["mask"].shape == (300, *SIZE)
