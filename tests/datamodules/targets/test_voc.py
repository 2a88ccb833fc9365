"""Pascal VOC's folders, read as torchvision reads them."""

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from datamodules.plain import ImageData
from datamodules.table import rows_of
from datamodules.targets import Boxes, LabelImages, MaskFiles

NAMES = ["background", *(f"class{number}" for number in range(1, 21))]
OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
IDS = ["2007_000032", "2007_000039", "2008_000123"]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Three annotated images and one without masks, with the palette and the contours of VOC."""
    root = tmp_path_factory.mktemp("voc") / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir()
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, 768).tolist()
    for number, image_id in enumerate([*IDS, "2009_000001"]):
        size = (40 + number, 50)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(root / "JPEGImages" / f"{image_id}.jpg")
        if image_id not in IDS:
            continue
        classes, objects, texts = np.zeros(size, np.uint8), np.zeros(size, np.uint8), []
        for each in range(1, 4):
            top, left = 2 + 12 * each - 12, 3 + 14 * each - 14
            kind = int(rng.integers(1, 21))
            objects[top : top + 10, left : left + 12] = classes[top : top + 10, left : left + 12] = 255
            objects[top + 1 : top + 9, left + 1 : left + 11] = each
            classes[top + 1 : top + 9, left + 1 : left + 11] = kind
            sides = {"xmin": left + 1, "ymin": top + 1, "xmax": left + 12, "ymax": top + 10}
            box = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
            texts.append(OBJECT.format(NAMES[kind], int(each == 3), box))
        for array, folder in ((classes, "SegmentationClass"), (objects, "SegmentationObject")):
            picture = Image.fromarray(array, "P")
            picture.putpalette(palette)
            picture.save(root / folder / f"{image_id}.png")
        shape = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
        (root / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{shape}{''.join(texts)}</annotation>")
    for kind in ("Segmentation", "Main"):
        (root / "ImageSets" / kind / "trainval.txt").write_text("\n".join(IDS) + "\n")
    return root


def arrays_of(voc, target, classes=None):
    data = ImageData(
        str(voc), "JPEGImages/*.jpg", [target], train_ids="ImageSets/Segmentation/trainval.txt", classes=classes
    )
    rows = rows_of(data.table())
    assert [row.image_id for row in rows] == IDS
    return [data.target_arrays(row) for row in rows]


def test_classes_are_those_of_torchvision(voc):
    reference = VOCSegmentation(str(voc.parents[1]), image_set="trainval")
    found = arrays_of(voc, MaskFiles("SegmentationClass/{image_id}.png"), NAMES)
    for arrays, (_, mask) in zip(found, reference, strict=True):
        np.testing.assert_array_equal(arrays["mask"], np.asarray(mask))
        np.testing.assert_array_equal(arrays["valid"], np.asarray(mask) != 255)
        assert arrays["mask"].dtype == np.int64


def test_objects_are_their_numbers_without_the_contours(voc):
    found = arrays_of(voc, LabelImages("SegmentationObject/{image_id}.png", ignore=255))
    for image_id, arrays in zip(IDS, found, strict=True):
        stored = np.asarray(Image.open(voc / "SegmentationObject" / f"{image_id}.png"))
        np.testing.assert_array_equal(arrays["instances"], np.where(stored == 255, 0, stored))
        np.testing.assert_array_equal(arrays["valid"], stored != 255)


def test_boxes_are_those_of_torchvision(voc):
    """Counted from 1 in the files, difficult ones ignored."""
    reference = VOCDetection(str(voc.parents[1]), image_set="trainval")
    found = arrays_of(voc, Boxes("Annotations/{image_id}.xml", "voc"), NAMES[1:])
    for arrays, (_, content) in zip(found, reference, strict=True):
        objects = content["annotation"]["object"]
        sides = [[int(one["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")] for one in objects]
        boxes = np.array(sides, float) - (1, 1, 0, 0)
        difficult = np.array([one["difficult"] == "1" for one in objects])
        labels = np.array([NAMES[1:].index(one["name"]) for one in objects])
        np.testing.assert_array_equal(arrays["boxes"], boxes[~difficult])
        np.testing.assert_array_equal(arrays["labels"], labels[~difficult])
        np.testing.assert_array_equal(arrays["ignored_boxes"], boxes[difficult])


def test_a_listed_image_that_is_not_there(voc):
    (voc / "odd.txt").write_text(f"{IDS[0]}\nnowhere\n")
    data = ImageData(str(voc), "JPEGImages/*.jpg", [], train_ids="odd.txt")
    with pytest.raises(ValueError, match=r"data.train_ids: \S*odd.txt: 1 of 2 names match no image: 'nowhere'"):
        data.table()
