"""YOLO boxes and polygons, against plain loops and the polygons of matplotlib."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import supervision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from datamodules.decoder import Decoder
from datamodules.readers import ImageReader
from datamodules.targets import Yolo
from datamodules.windows import with_window
from files.png import write_png

HEIGHT, WIDTH = SIZE = (30, 50)
CENTRES = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), -1).reshape(-1, 2)
NAMES = "names: [car, dog, tree]\nnc: 3\n"


def row(root, image_id="a", folder="images/train", **more):
    return SimpleNamespace(image_id=image_id, path=str(root / folder / f"{image_id}.jpg"), **more)


def tree(root, text="", names=NAMES, name="a"):
    (root / "labels/train").mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text(names)
    (root / f"labels/train/{name}.txt").write_text(text)
    return root


def prepared(root, target, ids=("a",)):
    table = pd.DataFrame({"image_id": ids, "path": [row(root, one).path for one in ids]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.prepare(table, root)
    return target


@st.composite
def star(draw):
    """Corners around a centre, so that the outline does not cross itself; relative to the image size."""
    radii = draw(st.lists(st.floats(0.05, 0.2), min_size=3, max_size=7))
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    centre = draw(st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)))
    return np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None] + centre


@st.composite
def box(draw):
    x, y = draw(st.floats(0.2, 0.8)), draw(st.floats(0.2, 0.8))
    return np.array([x, y, draw(st.floats(0.05, 2 * min(x, 1 - x))), draw(st.floats(0.05, 2 * min(y, 1 - y)))])


def corners_of(found):
    """Corners of a box or polygon in pixels."""
    corners = found if found.ndim == 2 else found[:2] + found[2:] / 2 * [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    return corners * (WIDTH, HEIGHT)


def from_outline(corners):
    """Distance of each pixel centre from the nearest edge."""
    far = np.full(HEIGHT * WIDTH, np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        share = np.clip(((CENTRES - start) @ (end - start)) / ((end - start) @ (end - start)), 0, 1)
        far = np.minimum(far, np.hypot(*(CENTRES - start - share[:, None] * (end - start)).T))
    return far


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(st.tuples(st.integers(0, 2), st.one_of(star(), box())), max_size=5))
def test_every_array_equals_a_plain_loop(tmp_path, objects):
    lines = [f"{label} " + " ".join(f"{value:.9f}" for value in np.ravel(found)) for label, found in objects]
    tree(tmp_path, "\n".join(lines))
    ids, clear = np.zeros(HEIGHT * WIDTH, int), np.ones(HEIGHT * WIDTH, bool)
    channels, boxes = np.zeros((3, HEIGHT * WIDTH), int), []
    for number, (label, found) in enumerate(objects, 1):
        corners = corners_of(found)
        inside = Outline([*corners, corners[0]]).contains_points(CENTRES)
        clear &= from_outline(corners) > 1e-5  # centres on an edge may be on either side of it
        ids[inside], channels[label][inside] = number, 1
        boxes.append([*corners.min(axis=0), *corners.max(axis=0)])
    labels = np.array([-1, *(label for label, _ in objects)])
    for output, expected in (("instances", ids), ("classes", labels[ids] + 1), ("channels", channels)):
        found = prepared(tmp_path, Yolo(output)).read(row(tmp_path), SIZE)
        assert np.array_equal(next(iter(found.values())).reshape(expected.shape)[..., clear], expected[..., clear])
    found = prepared(tmp_path, Yolo("boxes")).read(row(tmp_path), SIZE)
    assert np.allclose(found["boxes"], np.array(boxes).reshape(-1, 4), atol=1e-4)
    assert found["labels"].tolist() == labels[1:].tolist()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(st.tuples(st.integers(0, 2), st.one_of(star(), box())), min_size=1, max_size=4))
def test_supervision_reads_the_same(tmp_path, objects):
    """Its masks have the contour, too, and corners rounded to pixels."""
    lines = [f"{label} " + " ".join(f"{value:.9f}" for value in np.ravel(found)) for label, found in objects]
    tree(tmp_path, "\n".join(lines))
    (tmp_path / "images/train").mkdir(parents=True, exist_ok=True)
    write_png(tmp_path / "images/train/a.png", np.zeros((*SIZE, 3), np.uint8))
    folders = [str(tmp_path / name) for name in ("images/train", "labels/train", "data.yaml")]
    whole = supervision.DetectionDataset.from_yolo(*folders, force_masks=True)
    (_, _, theirs), one = next(iter(whole)), row(tmp_path)
    target = prepared(tmp_path, Yolo("boxes"))
    ours = target.read(one, SIZE)
    assert target.class_names(tmp_path) == whole.classes
    assert ours["labels"].tolist() == theirs.class_id.tolist()
    assert np.allclose(ours["boxes"], theirs.xyxy, atol=1e-4)
    for line, (_, found), mask in zip(lines, objects, theirs.mask, strict=True):
        tree(tmp_path, line)
        own = prepared(tmp_path, Yolo("channels")).read(one, SIZE)["mask"].any(axis=0)
        clear = from_outline(corners_of(found)).reshape(SIZE) > 2
        assert np.array_equal(own[clear], mask[clear])


def test_a_window_has_the_boxes_of_its_pixels(tmp_path):
    tree(tmp_path, "1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.1 0.1\n")
    (tmp_path / "images/train").mkdir(parents=True)
    write_png(tmp_path / "images/train/a.png", np.zeros(SIZE, np.uint8))
    one = SimpleNamespace(image_id="a", path=str(tmp_path / "images/train/a.png"))
    decoder = Decoder(ImageReader(), [prepared(tmp_path, Yolo("boxes"))])
    assert decoder.read(with_window(one, (10, 15, 20, 20)))[1]["boxes"].tolist() == [[5, 0, 15, 11]]
    assert decoder.target_arrays(with_window(one, (10, 15, 20, 20)))["labels"].tolist() == [1]


def test_names_are_a_list_a_mapping_or_lines(tmp_path):
    for names in ("names: [car, dog]", "names: {0: car, 1: dog}", "names:\n  5: dog\n  2: car\n"):
        tree(tmp_path, "", names)
        assert Yolo("boxes").class_names(tmp_path) == ["car", "dog"]
    tree(tmp_path, "5 0.5 0.5 0.2 0.4", names)
    assert prepared(tmp_path, Yolo("boxes")).read(row(tmp_path), SIZE)["labels"].tolist() == [1]
    (tmp_path / "classes.txt").write_text("car\ndog\n\n")
    assert Yolo("classes", data="classes.txt").class_names(tmp_path) == ["background", "car", "dog"]
    assert Yolo("boxes", classes=["dog"]).class_names(tmp_path) == ["dog"]
    assert prepared(tmp_path, Yolo("boxes", classes=["dog"])).read(row(tmp_path), SIZE)["labels"].tolist() == [0]


def test_label_files_are_found_like_ultralytics_does_or_by_a_pattern(tmp_path):
    tree(tmp_path, "1 0.5 0.5 0.2 0.4")
    target = prepared(tmp_path, Yolo("boxes"))
    assert target.files(row(tmp_path)) == [tmp_path / "data.yaml", tmp_path / "labels/train/a.txt"]
    for image in ("images/b/images/train/c.v1.jpg", "train/c.jpg"):
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        label = tmp_path / ("images/b/labels/train/c.v1.txt" if "images" in image else "train/c.txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("")
        target.prepare(pd.DataFrame({"image_id": ["c"], "path": [str(tmp_path / image)]}), tmp_path)
        assert target.files(SimpleNamespace(image_id="c"))[1] == label
    for pattern in ("labels/train/{image_id}.txt", "labels/{split}/{image_id}.txt", "labels/*/{image_id}.txt"):
        assert len(prepared(tmp_path, Yolo("boxes", labels=pattern)).read(row(tmp_path), SIZE)["boxes"]) == 1


def test_empty_and_missing_files_are_images_without_objects(tmp_path):
    tree(tmp_path, "0 0.5 0.5 0.2 0.4")
    tree(tmp_path, "\n", name="b")
    target = Yolo("boxes")
    with pytest.warns(UserWarning, match=r"1 of 3 images have no label file; the first is 'c': no file \S*c.txt; they"):
        target.prepare(
            pd.DataFrame({"image_id": list("abc"), "path": [row(tmp_path, i).path for i in "abc"]}), tmp_path
        )
    assert [len(target.read(row(tmp_path, one), SIZE)["boxes"]) for one in "abc"] == [1, 0, 0]
    assert target.files(row(tmp_path, "c")) == [tmp_path / "data.yaml"]
    with pytest.raises(FileNotFoundError, match="1 of 1 images have no label file.* Set labels of the target"):
        prepared(tmp_path, Yolo("boxes"), ["x"])


def test_boxes_beside_keypoints(tmp_path):
    tree(tmp_path, "0 0.5 0.5 0.2 0.4 0.5 0.5 2 0.4 0.4 1", NAMES + "kpt_shape: [2, 3]\n")
    assert len(prepared(tmp_path, Yolo("boxes")).read(row(tmp_path), SIZE)["boxes"]) == 1
    with pytest.raises(ValueError, match="describes keypoints .* set output: boxes"):
        prepared(tmp_path, Yolo("classes"))
    tree(tmp_path, "0 0.5 0.5 0.2 0.4 0.5 0.5 2", NAMES + "kpt_shape: [2, 3]\n")
    with pytest.raises(ValueError, match="line 1: 8 numbers, expected 11"):
        prepared(tmp_path, Yolo("boxes")).check(row(tmp_path), SIZE)
