"""Each layout on the page of data formats is read by the lines of YAML below it.

A section has a heading, its files as text and a YAML block. `LABELS` has, for each heading, a function that writes the
label files of two images with the same objects, a car and a tree, and the arrays and class names of the first image.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser

from datamodules import plain
from datamodules.table import rows_of
from files.png import write_png
from masks import rle

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "data_formats.md"
SECTION = re.compile(r"^(.*?)\n.*```text\n(.*?)```\n+```yaml\n(.*?)```", re.DOTALL)
PARTS = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
SECTIONS = {
    heading: (files.split(), block) for heading, files, block in (SECTION.match(part).groups() for part in PARTS)
}
HEIGHT, WIDTH = SIZE = (24, 32)
BOXES = [[4, 3, 10, 9], [16, 10, 26, 20]]  # of a car and a tree, xyxy
NAMES = ["car", "tree"]
IDS = np.zeros(SIZE, np.int32)
for number, (x1, y1, x2, y2) in enumerate(BOXES, 1):
    IDS[y1:y2, x1:x2] = number
MASK, CLASSES = (IDS > 0).astype(np.uint8)[None], IDS.astype(np.int64)
CHANNELS = np.stack([IDS == 1, IDS == 2]).astype(np.uint8)
WITH_BACKGROUND = ["background", *NAMES]
FOUND = {"boxes": np.array(BOXES, np.float32), "labels": np.array([0, 1])}


def pictures(array, first=False):
    """Write an array as the label image of every image; with `first`, with ignored pixels in the corner."""

    def write(root, files):
        marked = array.copy()
        marked[0, 0] = 255 if first else marked[0, 0]
        for file in files:
            write_png(root / file, marked.astype(np.uint8))

    return write


def listed(write):
    """Write the labels, and the list of images in the last file."""

    def both(root, files):
        write(root, files[:-1])
        (root / files[-1]).write_text("a\nb\n")

    return both


def coloured(name):
    """Write RGB label images, white in the corner, and the list of colours if there is one."""
    table = np.array([[0, 0, 0], [64, 0, 128], [128, 128, 0]], np.uint8)[IDS]
    table[0, 0] = 255

    def write(root, files):
        for file in files[:2]:
            write_png(root / file, table)
        if files[2:]:
            rows = ["name,r,g,b", "background,0,0,0", "car,64,0,128", "tree,128,128,0", f"{name},255,255,255"]
            (root / files[2]).write_text("\n".join(rows) + "\n")

    return write


def voc(root, files):
    sides = "<{0}><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax><ymax>{4}</ymax></{0}>"
    boxes = [sides.format("bndbox", x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in BOXES]
    objects = [f"<object><name>{name}</name>{box}</object>" for name, box in zip(NAMES, boxes, strict=True)]
    for file in files:
        (root / file).write_text(f"<annotation>{''.join(objects)}</annotation>")


def labelme(root, files):
    """Rectangles include the pixels of both corners."""
    shapes = [
        {"label": name, "points": [[x1, y1], [x2 - 1, y2 - 1]], "shape_type": "rectangle", "flags": {}}
        for name, (x1, y1, x2, y2) in zip(NAMES, BOXES, strict=True)
    ]
    for file in files:
        content = {"shapes": shapes, "flags": {"day": True, "fog": False}, "imagePath": f"{Path(file).stem}.jpg"}
        (root / file).write_text(json.dumps(content | {"imageHeight": HEIGHT, "imageWidth": WIDTH}))


def objects(root, files):
    for file in files:
        write_png(root / file, ((int(Path(file).stem) == IDS) * 255).astype(np.uint8))


def corners(box):
    x1, y1, x2, y2 = box
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def csv(header, line):
    """Write a line for each object of each image."""

    def write(root, files):
        found = list(zip(range(1, 3), NAMES, BOXES, strict=True))
        rows = [line(image, *one) for image in "ab" for one in found]
        (root / files[0]).write_text("\n".join([header, *rows]) + "\n")

    return write


def coco(root, files):
    items = [
        {
            "id": 2 * image + label,
            "image_id": image,
            "category_id": 3 + 4 * label,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "segmentation": [np.ravel(corners(box)).tolist()],
            "keypoints": [*box[:2], 2, *box[2:], 2],
        }
        for image in (1, 2)
        for label, box in enumerate(BOXES)
    ]
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    points = {"keypoints": ["head", "tail"]} if files == ["keypoints.json"] else {}
    kinds = [{"id": 3, "name": "car"} | points, {"id": 7, "name": "tree"}]
    for file in files:
        (root / file).write_text(json.dumps({"images": images, "categories": kinds, "annotations": items}))


def heat():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    points = BOXES[0][:2], BOXES[0][2:]
    return np.stack([np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) for u, v in points])


def yolo(polygons):
    def write(root, files):
        (root / "data.yaml").write_text("names: {0: car, 1: tree}\nnc: 2\n")
        sides = np.array([WIDTH, HEIGHT])
        shapes = [
            np.ravel(corners(box) / sides)
            if polygons
            else np.concatenate([np.add(box[:2], box[2:]) / 2 / sides, np.subtract(box[2:], box[:2]) / sides])
            for box in BOXES
        ]
        text = "\n".join(f"{label} {' '.join(map(str, shape))}" for label, shape in enumerate(shapes))
        for file in files[1:]:
            (root / file).write_text(text)

    return write


def cvat(root, files):
    sides = [f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"' for x1, y1, x2, y2 in BOXES]
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    shown = "".join(f'<box label="{name}" {side}/>' for name, side in zip(NAMES, sides, strict=True))
    images = "".join(f'<image name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">{shown}</image>' for name in "ab")
    (root / files[0]).write_text(f"<annotations>{meta}{images}</annotations>")


def cvat_video(root, files):
    tracks = "".join(
        f'<track label="{name}"><box frame="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"/></track>'
        for name, (x1, y1, x2, y2) in zip(NAMES, BOXES, strict=True)
    )
    (root / files[0]).write_text(f"<annotations>{tracks}</annotations>")


VALID = np.ones(SIZE, bool)
VALID[0, 0] = False
VOIDED = {"mask": np.where(VALID, CLASSES, 255), "valid": VALID}
LABELS = {
    "A mask per image": (pictures(MASK[0] * 255), {"mask": MASK}, None),
    "A PNG of class numbers per image": (
        pictures(CLASSES, first=True),
        VOIDED,
        WITH_BACKGROUND,
    ),
    "A mask folder per split": (pictures(MASK[0] * 255), {"mask": MASK}, None),
    "Mask names by a rule": (pictures(MASK[0] * 255), {"mask": MASK}, None),
    "A colour per class": (coloured(""), VOIDED, WITH_BACKGROUND),
    "A list of colours": (coloured("Void"), VOIDED, WITH_BACKGROUND),
    "Pascal VOC classes": (listed(pictures(CLASSES, first=True)), VOIDED, WITH_BACKGROUND),
    "Pascal VOC objects": (listed(pictures(IDS, first=True)), {"instances": IDS, "valid": VALID}, None),
    "Pascal VOC boxes": (voc, FOUND, NAMES),
    "Labelme shapes": (labelme, {"mask": CLASSES}, WITH_BACKGROUND),
    "Labelme flags": (labelme, {"label": np.array([1, 0])}, ["day", "fog"]),
    "A PNG of object numbers per image": (pictures(IDS), {"instances": IDS}, None),
    "A folder per image, a mask per object": (objects, {"instances": IDS}, None),
    "Run lengths in a CSV": (
        csv("ImageId,EncodedPixels", lambda image, number, name, box: f"{image},{rle.encode(number == IDS)}"),
        {"instances": IDS},
        None,
    ),
    "A CSV of boxes": (
        csv("image_id,xmin,ymin,xmax,ymax,label", lambda image, number, name, box: f"{image},{str(box)[1:-1]},{name}"),
        FOUND,
        NAMES,
    ),
    "COCO boxes": (coco, FOUND, NAMES),
    "A CSV of labels": (
        lambda root, files: (root / files[0]).write_text("image_id,label\na,tree\nb,car\n"),
        {"label": np.array(1)},
        NAMES,
    ),
    "COCO objects": (coco, {"instances": IDS}, None),
    "COCO objects as classes": (coco, {"mask": CLASSES}, WITH_BACKGROUND),
    "COCO objects of several splits": (coco, {"instances": IDS}, None),
    "COCO keypoints": (coco, {"keypoints": heat()}, ["head", "tail"]),
    "YOLO boxes": (yolo(polygons=False), FOUND, NAMES),
    "YOLO polygons": (yolo(polygons=True), {"instances": IDS}, None),
    "CVAT images": (cvat, {"mask": CHANNELS}, NAMES),
    "CVAT video": (cvat_video, FOUND, NAMES),
}


def test_every_section_is_tested():
    assert sorted(SECTIONS) == sorted(LABELS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_layout_is_read_by_its_lines(heading, tmp_path):
    files, block = SECTIONS[heading]
    write, expected, names = LABELS[heading]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    is_image = re.compile(r"(^|/)(images|JPEGImages)/.*\.(jpg|png)$")
    for file in filter(is_image.search, files):
        write_png(tmp_path / file, np.full((*SIZE, 3), 100, np.uint8))
    write(tmp_path, [file for file in files if not is_image.search(file)])
    assert all((tmp_path / file).is_file() for file in files)

    config = yaml.safe_load(block)["data"]
    assert config["class_path"] == "datamodules.ImageDataModule"
    config["class_path"] = "datamodules.plain.ImageData"
    config["init_args"]["root"] = str(tmp_path)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(plain.BaseData, "data")
    data = parser.instantiate_classes(parser.parse_object({"data": config})).data
    assert len(data.table()) == 2
    assert data.class_names == names
    found = data.target_arrays(rows_of(data.table())[0])
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.allclose(found[name], array, atol=1e-3), name
