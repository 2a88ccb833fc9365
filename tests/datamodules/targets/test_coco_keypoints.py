"""Keypoints of COCO files, against plain loops over every pixel."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules.targets import CocoKeypoints

HEIGHT, WIDTH = SIZE = (20, 26)
NAMES = ["nose", "eye", "ear"]
POINT = st.tuples(st.one_of(st.integers(0, 25), st.floats(0, 25)), st.floats(0, 19), st.integers(0, 2))


def written(root, *people, categories=None, **more):
    annotations = [
        {"id": 30 + n, "image_id": 1, "category_id": 1, "keypoints": np.ravel(one).tolist()} | more
        for n, one in enumerate(people)
    ]
    images = [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    categories = categories or [{"id": 1, "name": "person", "keypoints": NAMES}, {"id": 2, "name": "ball"}]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (root / "all.json").write_text(json.dumps(content))
    return root


def prepared(root, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    return target


def read(target):
    return target.read(SimpleNamespace(image_id="a"), SIZE)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(st.lists(POINT, min_size=3, max_size=3), max_size=4), visible=st.booleans(), window=st.data())
def test_maps_and_boxes_equal_plain_loops(tmp_path, people, visible, window):
    written(tmp_path, *people)
    discs, heat, boxes, around = np.zeros((3, *SIZE)), np.zeros((3, *SIZE)), [], []
    for person in people:
        own = []
        for label, (x, y, v) in enumerate(person):
            if v < (2 if visible else 1):
                continue
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    far = (row - y) ** 2 + (column - x) ** 2
                    discs[label, row, column] = max(discs[label, row, column], far <= 9)
                    heat[label, row, column] = max(heat[label, row, column], np.exp(-far / (2 * 1.5**2)))
            box = [max(x + 0.5 - 3, 0), max(y + 0.5 - 3, 0), min(x + 0.5 + 3, WIDTH), min(y + 0.5 + 3, HEIGHT)]
            boxes.append((label, box))
            own.append(box)
        if own:
            own = np.array(own)
            around.append([*own[:, :2].min(axis=0), *own[:, 2:].max(axis=0)])
    settings_of = {"sigma": 1.5, "radius": 3.0, "visible": visible}
    found = {
        output: prepared(tmp_path, CocoKeypoints("all.json", output, **settings_of))
        for output in ("discs", "heatmaps", "boxes", "object_boxes")
    }
    assert np.array_equal(read(found["discs"])["keypoints"], discs)
    assert read(found["discs"])["keypoints"].dtype == np.uint8
    assert np.abs(read(found["heatmaps"])["keypoints"] - heat).max() < 0.0004
    assert read(found["heatmaps"])["keypoints"].dtype == np.float32
    assert read(found["boxes"])["labels"].tolist() == [label for label, _ in boxes]
    assert np.allclose(read(found["boxes"])["boxes"], np.array([box for _, box in boxes]).reshape(-1, 4), atol=1e-5)
    assert np.allclose(read(found["object_boxes"])["boxes"], np.array(around).reshape(-1, 4), atol=1e-5)
    top, left = window.draw(st.integers(0, 12)), window.draw(st.integers(0, 16))
    for output in ("discs", "heatmaps"):
        part = found[output].read_window(SimpleNamespace(image_id="a"), SIZE, (top, left, 7, 9))["keypoints"]
        assert np.array_equal(part, read(found[output])["keypoints"][:, top : top + 7, left : left + 9])


def test_names_are_channels(tmp_path):
    written(tmp_path, [[3, 3, 2], [9, 9, 2], [15, 15, 2]])
    assert CocoKeypoints("all.json", "discs").class_names(tmp_path) == NAMES
    assert CocoKeypoints("all.json", "object_boxes").class_names(tmp_path) == ["person"]
    target = prepared(tmp_path, CocoKeypoints("all.json", "discs", radius=0.5, classes=["ear", "nose"]))
    assert np.argwhere(read(target)["keypoints"]).tolist() == [[0, 15, 15], [1, 3, 3]]
    with pytest.raises(ValueError, match="has no keypoint 'toe', only 'nose', 'eye', 'ear'; set classes"):
        prepared(tmp_path, CocoKeypoints("all.json", "discs", classes=["toe"]))
    target = CocoKeypoints("all.json", "discs")
    target.take_classes(["eye"])
    assert read(prepared(tmp_path, target))["keypoints"].shape == (1, *SIZE)
    two = [{"id": 1, "name": "person", "keypoints": NAMES}, {"id": 2, "name": "dog", "keypoints": ["nose"]}]
    written(tmp_path, [[3, 3, 2], [9, 9, 2], [15, 15, 2]], categories=two)
    names = ["person/nose", "person/eye", "person/ear", "dog/nose"]
    assert CocoKeypoints("all.json", "discs").class_names(tmp_path) == names
    assert read(prepared(tmp_path, CocoKeypoints("all.json", "boxes")))["labels"].tolist() == [0, 1, 2]


FAULTS = {
    "too few": ([[1, 2, 2]], {}, "annotation 30: keypoints has 3 numbers, expected 9"),
    "words": ([], {"keypoints": "x"}, "annotation 30: keypoints has no numbers"),
    "an odd visibility": ([[1, 2, 3]] * 3, {}, r"annotation 30: keypoint \[1.0, 2.0, 3.0\] has visibility 3"),
    "another image": ([[900, 2, 2]] * 3, {}, r"image 'a': keypoint \[900.0, 2.0\] is far outside of its size"),
    "no keypoints": ([[1, 2, 2]] * 3, {"categories": [{"id": 1, "name": "car"}]}, "no category has keypoints"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_annotation(tmp_path, name):
    person, more, message = FAULTS[name]
    written(tmp_path, person, **more)
    with pytest.raises(ValueError, match=message):
        read(prepared(tmp_path, CocoKeypoints("all.json", "discs")))


def test_settings_and_sizes(tmp_path):
    with pytest.raises(ValueError, match="sigma is 0 and radius is 4.0, expected pixels above 0"):
        CocoKeypoints("all.json", "heatmaps", sigma=0)
    target = prepared(written(tmp_path, [[1, 2, 2]] * 3), CocoKeypoints("all.json", "discs"))
    with pytest.raises(ValueError, match="is declared 26 x 20"):
        target.check(SimpleNamespace(image_id="a"), (40, 52))
