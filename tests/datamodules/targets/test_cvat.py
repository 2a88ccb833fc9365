"""CVAT's XML, against plain loops over its documented format."""

import warnings
from types import SimpleNamespace
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
import pytest

from datamodules.targets import Cvat

HEIGHT, WIDTH = SIZE = (30, 40)
X, Y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
LABELS = "<meta><task><labels>{}</labels>{}</task></meta>"


def element(tag, **attributes):
    return f"<{tag} {' '.join(f'{name}={quoteattr(str(value))}' for name, value in attributes.items())}/>"


def labels(*names, more=""):
    inner = "<attributes><attribute><name>colour</name></attribute></attributes>"
    return LABELS.format("".join(f"<label><name>{name}</name>{inner}</label>" for name in names), more)


def image(*items, name="a.png", **more):
    given = {"id": 0, "name": name, "width": WIDTH, "height": HEIGHT} | more
    return element("image", **given)[:-2] + ">" + "".join(items) + "</image>"


def written(root, *parts, names=("car", "road", "tree"), more=""):
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><annotations>{labels(*names, more=more)}{"".join(parts)}</annotations>'
    )
    (root / "all.xml").write_text(text)
    return root


def prepared(root, target, ids=("a",)):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.prepare(pd.DataFrame({"image_id": ids}), root)
    return target


def read(target, image_id="a"):
    return next(iter(target.read(SimpleNamespace(image_id=image_id), SIZE).values()))


BOX = {"label": "car", "xtl": 4, "ytl": 3, "xbr": 14, "ybr": 9}


def test_each_kind_of_object(tmp_path):
    mask = np.zeros((5, 7), int)
    mask[1:4, 2:6], mask[2, 3] = 1, 0
    flat = mask.ravel()
    counts = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])).tolist()
    whole = np.zeros(SIZE, bool)
    whole[20:25, 30:37] = mask
    turned = np.radians(30)
    along = (X - 20) * np.cos(turned) + (Y - 15) * np.sin(turned)
    across = (Y - 15) * np.cos(turned) - (X - 20) * np.sin(turned)
    oval, line = (along / 9) ** 2 + (across / 4) ** 2 < 1, np.hypot(X - np.clip(X, 5, 25), Y - 5) < 2
    dots = np.minimum(np.hypot(X - 8, Y - 8), np.hypot(X - 20, Y - 8)) < 2
    expected = {
        element("box", **BOX): (X > 4) & (X < 14) & (Y > 3) & (Y < 9),
        element("box", label="car", xtl=12, ytl=10, xbr=28, ybr=20, rotation=30): (abs(along) < 8) & (abs(across) < 5),
        element("ellipse", label="car", cx=20, cy=15, rx=9, ry=4, rotation=30): oval,
        element("polygon", label="car", points="2.00,2.00;22.50,2.00;2.00,22.50"): (X > 2) & (Y > 2) & (X + Y < 24.5),
        element("polyline", label="car", points="5,5;25,5"): line,
        element("points", label="car", points="8,8;20,8"): dots,
        element("mask", label="car", rle=str(counts)[1:-1], left=30, top=20, width=7, height=5): whole,
    }
    for item, inside in expected.items():
        written(tmp_path, image(item))
        found = read(prepared(tmp_path, Cvat("all.xml", "instances", width=4.0)))
        assert inside.any()
        assert np.array_equal(found, inside), item
        boxes = read(prepared(tmp_path, Cvat("all.xml", "boxes", width=4.0)))
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        tight = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
        assert np.abs(boxes - tight).max() < (2.6 if "rotation" in item else 1), item


def test_depth_and_order_decide_where_objects_overlap(tmp_path):
    later = BOX | {"label": "tree", "xtl": 8}
    for depth, car in ((0, 4), (1, 10), (-1, 4)):
        written(tmp_path, image(element("box", **BOX, z_order=depth), element("box", **later, z_order=0)))
        found = read(prepared(tmp_path, Cvat("all.xml", "classes")))
        assert (found == 1).sum() == car * 6
        assert np.unique(found).tolist() == ([0, 1] if depth == 1 else [0, 1, 3])
        channels = read(prepared(tmp_path, Cvat("all.xml", "channels", classes=["tree", "car"])))
        assert channels.sum(axis=(1, 2)).tolist() == [36, 60]


def test_shapes_of_a_label_and_group_are_one_object(tmp_path):
    parts = [BOX | {"group_id": 5}, BOX | {"xtl": 20, "xbr": 30, "group_id": 5}, BOX | {"label": "tree", "group_id": 5}]
    written(tmp_path, image(*(element("box", **part) for part in parts), element("box", **BOX | {"ytl": 8, "ybr": 20})))
    found = read(prepared(tmp_path, Cvat("all.xml", "instances")))
    assert [(found == number).sum() for number in (1, 2, 3)] == [60, 50, 120]
    target = prepared(tmp_path, Cvat("all.xml", "boxes"))
    assert read(target).tolist() == [[4, 3, 30, 9], [4, 3, 14, 9], [4, 8, 14, 20]]


def test_classes_are_the_labels_of_the_file(tmp_path):
    written(tmp_path, image(element("box", **BOX)), names=("tree", "car"))
    assert Cvat("all.xml", "boxes").class_names(tmp_path) == ["tree", "car"]
    assert Cvat("all.xml", "classes").class_names(tmp_path) == ["background", "tree", "car"]
    (tmp_path / "all.xml").write_text(f"<annotations>{image(element('box', **BOX))}</annotations>")
    assert Cvat("all.xml", "boxes").class_names(tmp_path) == ["car"]  # of the objects, if none are declared


def test_frames_of_a_video(tmp_path):
    def track(number, label, *items):
        return f'<track id="{number}" label="{label}">{"".join(items)}</track>'

    def at(frame, outside=0, **more):
        sides = {name: value for name, value in BOX.items() if name != "label"} | more
        return element("box", frame=frame, outside=outside, occluded=0, keyframe=1, **sides)

    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    tracks = track(0, "car", at(0), at(1, xtl=5), at(2, outside=1)), track(1, "tree", at(2, ytl=5))
    written(tmp_path, *tracks, more=size)
    ids = [f"frame_{number:06d}" for number in range(4)]
    target = prepared(tmp_path, Cvat("all.xml", "boxes"), ids)
    rows = [target.read(SimpleNamespace(image_id=one), SIZE) for one in ids]
    assert [row["boxes"].tolist() for row in rows] == [[[4, 3, 14, 9]], [[5, 3, 14, 9]], [[4, 5, 14, 9]], []]
    assert [row["labels"].tolist() for row in rows] == [[0], [0], [2], []]
    with pytest.raises(ValueError, match="declared 40 x 30"):
        target.check(SimpleNamespace(image_id=ids[0]), (60, 80))
    with pytest.raises(ValueError, match="none of its frames 0 to 2 is an image"):
        prepared(tmp_path, Cvat("all.xml", "boxes"), ["clip_7", "clip_8"])
    with pytest.raises(ValueError, match="'a_1' and 'b_1' are both frame 1; set frame"):
        prepared(tmp_path, Cvat("all.xml", "boxes"), ["a_1", "b_1"])
    (tmp_path / "all.xml").rename(tmp_path / "clip.xml")
    written(tmp_path, track(0, "car", at(7)), more=size).joinpath("all.xml").rename(tmp_path / "other.xml")
    both = pd.DataFrame({"image_id": ["a_1", "b_7"], "path": [f"{tmp_path}/clip/a_1.png", f"{tmp_path}/other/b_7.png"]})
    target = Cvat("{split}.xml", "boxes")
    target.prepare(both, tmp_path)
    assert [read(target, one).tolist() for one in both["image_id"]] == [[[5, 3, 14, 9]], [[4, 3, 14, 9]]]
    assert target.files(SimpleNamespace(image_id="b_7")) == [tmp_path / "other.xml"]
    found = prepared(tmp_path, Cvat("clip.xml", "boxes", frame=r"a_(\d+)"), ["a_1", "b_1"])
    assert len(read(found, "a_1")) == 1
    assert len(read(found, "b_1")) == 0


def test_key_frames_alone_are_told(tmp_path):
    sides = 'xtl="1" ytl="1" xbr="5" ybr="5"'
    track = '<track id="3" label="car">{}</track>'
    shown = [f'<box frame="{frame}" outside="{outside}" {sides}/>' for frame, outside in ((0, 0), (4, 1), (6, 0))]
    written(tmp_path, track.format("".join(shown)))
    table = pd.DataFrame({"image_id": [f"f_{number}" for number in (0, 2, 5, 6)]})
    with pytest.warns(UserWarning, match=r"track 3 has frames 0 and 4, but not the 1 images between \(first: 'f_2'\)"):
        Cvat("all.xml", "boxes").prepare(table, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cvat("all.xml", "boxes").prepare(table[table["image_id"] != "f_2"], tmp_path)  # every fifth frame, for example


def test_files_of_other_images_are_refused(tmp_path):
    written(tmp_path, image(element("box", **BOX), name="x.png"))
    with pytest.raises(ValueError, match="none of its 1 names matches an image: 'x.png'; the images are 'a'"):
        prepared(tmp_path, Cvat("all.xml", "boxes"))
    target = Cvat("all.xml", "boxes")
    with pytest.warns(UserWarning, match=r"1 of 2 images are not in it \(first: 'y'\); they are treated as"):
        target.prepare(pd.DataFrame({"image_id": ["x", "y"]}), tmp_path)


FAULTS = {
    "an unknown label": (
        element("box", **BOX | {"label": "cat"}),
        "'a.png', box 1: label 'cat', expected one of",
    ),
    "no corner": (element("box", label="car", xtl=1, ytl=2, xbr=3), "box 1: no ybr, only label, xtl"),
    "a decimal comma": (element("box", **BOX | {"xtl": "1,5"}), "box 1: xtl is '1,5', expected a number"),
    "no number": (element("ellipse", label="car", cx="nan", cy=1, rx=1, ry=1), "ellipse 1: cx is 'nan'"),
    "odd points": (element("polygon", label="car", points="1,2;3"), "polygon 1: points is '1,2;3', expected x,y;x,y"),
    "no points": (element("polygon", label="car"), "polygon 1: points is ''"),
    "a line without width": (element("polyline", label="road", points="1,2;3,4"), "polyline 1 has no area; set width"),
    "a cuboid": (element("cuboid", label="car", xtl1=1), "cuboid 1: a cuboid has no mask or box; leave its label out"),
    "a short mask": (
        element("mask", label="car", rle="1, 2", left=0, top=0, width=2, height=2),
        "mask 1: rle has 3 pixels, expected 4: width 2 x height 2",
    ),
    "an endless mask": (
        element("mask", label="car", rle=str(10**15), left=0, top=0, width=10**15, height=1),
        "mask 1: rle has 10+ pixels, expected 10+",
    ),
    "a mask of words": (element("mask", label="car", rle="x", left=0, top=0, width=2, height=2), "mask 1: rle is 'x'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_object(tmp_path, name):
    item, message = FAULTS[name]
    written(tmp_path, image(item))
    with pytest.raises(ValueError, match=f"all.xml, .*{message}"):
        prepared(tmp_path, Cvat("all.xml", "instances"))


def test_objects_of_labels_left_out_may_have_any_kind(tmp_path):
    line = element("polyline", label="road", points="1,2;3,4")
    written(tmp_path, image(line, element("cuboid", label="tree"), element("tag", label="tree"), element("box", **BOX)))
    assert read(prepared(tmp_path, Cvat("all.xml", "instances", classes=["car"]))).sum() == 60


def test_files_that_are_no_cvat_files_are_refused(tmp_path):
    (tmp_path / "all.xml").write_text("<annotation/>")
    with pytest.raises(ValueError, match="all.xml is not a CVAT file: its root is <annotation>"):
        prepared(tmp_path, Cvat("all.xml", "boxes"))
    (tmp_path / "all.xml").write_text('<!DOCTYPE x [<!ENTITY y "z">]><annotations>&y;</annotations>')
    with pytest.raises(ValueError, match="a document type declaration"):
        prepared(tmp_path, Cvat("all.xml", "boxes"))
    with pytest.raises(ValueError, match="width is 0, expected pixels above 0"):
        Cvat("all.xml", "boxes", width=0)
    with pytest.raises(ValueError, match="expected a regular expression with a group"):
        Cvat("all.xml", "boxes", frame=r"\d+")
