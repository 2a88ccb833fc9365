"""Files of objects: what is learnt from them by default, and what else they allow."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from exploration.layouts.images import find
from exploration.layouts.objects import from_voc, from_yolo


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d/images").mkdir(parents=True)
    for name in "abc":
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(f"d/images/{name}.png")


def voc(name, objects):
    root = ElementTree.Element("annotation")
    for label, box in objects:
        item = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(item, "name").text = label
        corners = ElementTree.SubElement(item, "bndbox")
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            ElementTree.SubElement(corners, side).text = str(value)
    Path("d/xml").mkdir(exist_ok=True)
    ElementTree.ElementTree(root).write(f"d/xml/{name}.xml")


@pytest.mark.parametrize("given", ["d/xml", "d/xml/*.xml", "d/xml/{image_id}.xml"])
def test_boxes_of_pascal_voc(given):
    for name, objects in {"a": [("dog", (1, 1, 5, 5))], "b": [("cat", (2, 2, 9, 9))], "c": []}.items():
        voc(name, objects)
    found = from_voc(given, find("d/images/*.png", None, "d/xml/*"), None)
    assert (found.task, found.classes) == ("boxes", ["cat", "dog"])
    arguments = {"path": "xml/{image_id}.xml", "kind": "voc", "classes": ["cat", "dog"]}
    assert found.targets[0].init_args == arguments
    with pytest.raises(ValueError, match="--task classes: XML files of Pascal VOC have boxes only"):
        from_voc(given, find("d/images/*.png", None, "d/xml/*"), "classes")


@pytest.mark.parametrize(
    ("line", "task"),
    [("0 0.5 0.5 0.2 0.2", "boxes"), ("1 0.1 0.1 0.5 0.1 0.6 0.4 0.3 0.7 0.1 0.5", "classed_instances")],
)
def test_boxes_and_polygons_of_yolo(line, task):
    Path("d/data.yaml").write_text(yaml.safe_dump({"names": ["cat", "dog"]}))
    Path("d/labels").mkdir()
    for name in "abc":
        Path(f"d/labels/{name}.txt").write_text(f"{line}\n")
    found = from_yolo("d/data.yaml", find("d/images/*.png", None, "d/data.yaml"), None)
    assert (found.task, found.classes) == (task, ["cat", "dog"])
    assert [target.class_path.rpartition(".")[2] for target in found.targets][0] == "Yolo"
    with pytest.raises(ValueError, match="--task label is not for files of objects"):
        from_yolo("d/data.yaml", find("d/images/*.png", None, "d/data.yaml"), "label")
