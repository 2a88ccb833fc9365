"""The XML of CVAT: objects of images and frames."""

import pytest

from annotations.cvat import read_cvat_file

BOX = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="6"/>'
SIZE = "<original_size><width>50</width><height>40</height></original_size>"


def read(root, text):
    (root / "all.xml").write_text(f"<annotations>{text}</annotations>")
    return read_cvat_file(root / "all.xml")


def test_images(tmp_path):
    cvat = read(tmp_path, f'<image name="a/b.png" width="50" height="40"><tag label="x"/>{BOX}</image>')
    (one,) = cvat.images["a/b.png"]
    assert (one.kind, one.label, one.points.tolist()) == ("box", 0, [[1, 2], [5, 2], [5, 6], [1, 6]])
    assert one.where.endswith("all.xml, image 'a/b.png', box 1")
    assert cvat.names == ["car"]
    assert cvat.declared == {"a/b.png": (40, 50)}
    assert cvat.frames is None


def test_labels_are_those_of_the_task_without_parts_of_skeletons(tmp_path):
    labels = "<label><name>tree</name></label><label><name>car</name></label>"
    labels += "<label><name>wheel</name><parent>car</parent></label>"
    for where in ("task", "project", "job"):
        assert read(tmp_path, f"<meta><{where}><labels>{labels}</labels></{where}></meta>").names == ["tree", "car"]


def test_frames(tmp_path):
    sides = 'xtl="1" ytl="2" xbr="5" ybr="6"'
    shown = [(2, 0, 5), (3, 0, 0), (4, 1, 0), (9, 0, 0)]
    boxes = "".join(f'<box frame="{f}" outside="{o}" z_order="{z}" {sides}/>' for f, o, z in shown)
    other = f'<track label="tree"><box frame="2" z_order="1" {sides}/></track>'
    cvat = read(tmp_path, f'<meta><task>{SIZE}</task></meta><track id="4" label="car">{boxes}</track>{other}')
    assert {frame: [one.label for one in found] for frame, found in cvat.frames.items()} == {2: [1, 0], 3: [0], 9: [0]}
    assert cvat.gaps == []
    assert cvat.declared == {"": (40, 50)}
    assert read(tmp_path, f"<meta><task>{SIZE}</task></meta>").frames == {}
    cut = read(tmp_path, f'<track id="4" label="car"><box frame="2" {sides}/><box frame="9" {sides}/></track>')
    assert cut.gaps == [(2, 9, "track 4")]


def test_a_video_exported_as_images_is_one_of_images(tmp_path):
    assert read(tmp_path, f'<meta><task>{SIZE}</task></meta><image name="a">{BOX}</image>').frames is None


def test_names_of_several_subsets(tmp_path):
    two = [f'<image name="x.png" subset="{subset}">{BOX}</image>' for subset in ("train", "val")]
    assert list(read(tmp_path, "".join(two)).images) == ["train/x.png", "val/x.png"]
    with pytest.raises(ValueError, match="image 'train/x.png' occurs twice"):
        read(tmp_path, two[0] * 2)
    with pytest.raises(ValueError, match="has both images and tracks"):
        read(tmp_path, two[0] + '<track label="car"/>')
    with pytest.raises(ValueError, match="an image has no name"):
        read(tmp_path, "<image/>")
    with pytest.raises(ValueError, match="frame is None, expected a number from 0"):
        read(tmp_path, f'<track label="car">{BOX}</track>')


def test_a_file_is_read_once(tmp_path):
    first = read(tmp_path, f'<image name="a">{BOX}</image>')
    assert read_cvat_file(tmp_path / "all.xml") is first
