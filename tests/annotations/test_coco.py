"""COCO files in columns."""

import copy
import json
import pickle

import pytest

from annotations.coco import read_coco_file

CONTENT = {
    "images": [{"id": 7, "file_name": "b.jpg", "height": 4, "width": 5}, {"id": "x", "file_name": "a.jpg"}],
    "categories": [{"id": 9, "name": "tree"}, {"id": 2, "name": "car", "keypoints": ["front", "back"]}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 9, "segmentation": [[0, 0, 1, 0, 1, 1]], "iscrowd": 1},
        {"image_id": "x", "category_id": 2, "segmentation": [["0"], [[]]], "bbox": [0, 0, 1, 1]},
    ],
}


def read(root, **changes):
    (root / "all.json").write_text(json.dumps(CONTENT | changes))
    return read_coco_file(root / "all.json")


def test_columns(tmp_path):
    coco = read(tmp_path)
    assert coco.names == ["car", "tree"]
    assert coco.keypoints == {"car": ["front", "back"]}
    assert coco.labels.tolist() == [1, 0]
    assert coco.crowd.tolist() == [True, False]
    assert coco.declared == {7: (4, 5)}
    assert coco.bbox == [None, [0, 0, 1, 1]]
    assert [ring.tolist() for ring in coco.segmentation[0]] == [[0, 0, 1, 0, 1, 1]]
    assert coco.segmentation[1] == [["0"], [[]]]  # faulty, and told by those who need it
    assert coco.where(1).endswith("all.json, annotation 'number 1'")
    assert coco.by_image({7: "b"}) == {"b": [0]}
    assert coco.sizes({7: "b", "x": "a"}) == {"b": (4, 5)}


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path):
    first = read(tmp_path)
    assert read_coco_file(tmp_path / "all.json") is first
    assert copy.deepcopy([first])[0] is first
    assert pickle.loads(pickle.dumps(first)).names == first.names
    assert len(read(tmp_path, annotations=CONTENT["annotations"][:1]).ids) == 1


def test_names_that_occur_twice_are_one_class(tmp_path):
    kinds = [{"id": 2, "name": "car"}, {"id": 4, "name": "tree"}, {"id": 9, "name": "car"}]
    coco = read(tmp_path, categories=kinds)
    assert coco.names == ["car", "tree"]
    assert coco.labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "it has no list 'images'"),
        ({"annotations": [3]}, "annotation 'number 0' is 3, expected an object"),
        (
            {"annotations": [{"id": 5, "image_id": 8, "category_id": 2}]},
            "annotation 5: image_id is 8, which is not among",
        ),
        (
            {"annotations": [{"id": 5, "image_id": 7, "category_id": 1}]},
            "annotation 5: category_id is 1, expected .*9 tree",
        ),
    ],
)
def test_faults_name_the_annotation(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"all.json.*{message}"):
        read(tmp_path, **changes)
