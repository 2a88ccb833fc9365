"""The generated shapes are what other libraries read from their files."""

import contextlib
import io

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from datamodules.shapes import CLASSES, Shapes, draw_shapes


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    for layout in ("classes", "coco", "yolo"):
        Shapes(layout, train=4, test=2, side=48).write(root / layout)
    return root


def drawing(number, split="images"):
    return draw_shapes(np.random.default_rng([0, split == "test", number]), 48)


def test_class_masks(sets):
    for split, folder in (("images", "masks"), ("test", "solution")):
        for number in range(2):
            one, name = drawing(number, split), f"{split[:2]}{number:04d}.png"
            np.testing.assert_array_equal(Image.open(sets / "classes" / split / name), one.image)
            mask = np.asarray(Image.open(sets / "classes" / folder / name))
            inside = mask < 255
            expected = np.array([0, *(kind + 1 for kind in one.kinds)])[one.labels]
            np.testing.assert_array_equal(mask[inside], expected[inside])
            assert 0.5 < inside.mean() < 1


def test_coco(sets):
    with contextlib.redirect_stdout(io.StringIO()):
        files = [COCO(str(sets / "coco" / name)) for name in ("train.json", "test.json")]
    for file, split in zip(files, ("images", "test"), strict=True):
        for number, image in enumerate(file.imgs.values()):
            one = drawing(number, split)
            found = file.loadAnns(file.getAnnIds([image["id"]]))
            assert [CLASSES.index(file.cats[entry["category_id"]]["name"]) for entry in found] == one.kinds
            for place, entry in enumerate(found, 1):
                np.testing.assert_array_equal(file.annToMask(entry) > 0, one.labels == place)
                ys, xs = np.nonzero(one.labels == place)
                assert entry["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
                assert entry["area"] == len(xs)


def test_yolo(sets):
    assert list(yaml.safe_load((sets / "yolo/data.yaml").read_text())["names"].values()) == CLASSES
    one = drawing(1)
    height, width = one.labels.shape
    rows = np.loadtxt(sets / "yolo/labels/im0001.txt", ndmin=2)
    assert rows[:, 0].tolist() == one.kinds
    corners = (rows[:, 1:3] - rows[:, 3:] / 2) * [width, height]
    np.testing.assert_allclose(corners, [box[:2] for box in one.boxes()], atol=1e-3)


def test_other_layouts_are_refused():
    with pytest.raises(ValueError, match="expected classes, coco or yolo"):
        Shapes("voc")
