"""Class names are given once, or come from the targets."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.plain import ImageData
from datamodules.table import rows_of
from datamodules.targets import (
    ArrayFiles,
    Boxes,
    DicomSegmentations,
    Foreground,
    InstanceFolders,
    Labels,
    LongLabels,
    MaskFiles,
    Polygons,
    RasterMasks,
    RtStructures,
    RunLengths,
)

NAMES = ["sky", "road", "car"]


def data(*targets, classes=None, **settings):
    return ImageData("data", "*.png", list(targets), classes=classes, **settings)


def test_the_given_names_win():
    assert data(Foreground(), classes=NAMES).class_names == NAMES


@pytest.mark.parametrize(
    "target",
    [
        MaskFiles("{image_id}.png", classes=NAMES),
        RasterMasks("{image_id}.tif", classes=NAMES),
        ArrayFiles("{image_id}.npy", classes=NAMES),
        RunLengths("a.csv", classes=NAMES),
        Polygons(csv="a.csv", class_key="kind", classes=NAMES),
        Boxes("a.csv", "csv", classes=NAMES),
        Labels("kind", classes=NAMES),
        Labels(NAMES, kind="one_hot"),
        LongLabels("a.csv", NAMES),
        DicomSegmentations("a.dcm", classes=NAMES),
        RtStructures("a.dcm", structures=NAMES),
    ],
    ids=lambda target: type(target).__name__,
)
def test_the_names_of_a_target_are_those_of_the_data(target):
    assert data(target, Foreground(), MaskFiles("{image_id}.png")).class_names == NAMES


def test_targets_that_know_none_or_disagree_name_no_classes():
    assert data(MaskFiles("{image_id}.png", classes=3), Labels("kind", classes=3)).class_names is None
    assert data(Labels("kind", classes=NAMES), Labels("other", classes=["a", "b"])).class_names is None


def test_parts_merged_into_a_class_are_joined():
    assert data(RtStructures("a.dcm", [["left", "right"], 3])).class_names == ["left+right", "3"]
    assert data(DicomSegmentations("a.dcm", ["a"], as_index=True)).class_names is None  # class 0 has no name


@pytest.mark.parametrize("where", ["targets", "test_targets"])
def test_a_mask_takes_its_number_of_classes_from_the_names(where, tmp_path):
    for folder, value in (("images", 200), ("masks", 2)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.full((4, 5), value, np.uint8))
    given = {"targets": [Foreground()]} | {where: [MaskFiles("masks/{image_id}.png")]}
    made = ImageData(str(tmp_path), "images/*.png", test_images="images/*.png", classes=NAMES, **given)
    target = getattr(made, where)[0]
    target.prepare(made.table(), tmp_path)
    mask = target.read(rows_of(made.table())[0], (4, 5))["mask"]
    assert (mask.dtype, mask.shape, mask.max()) == (np.int64, (4, 5), 2)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (lambda: RasterMasks("{image_id}.tif"), NAMES),
        (lambda: RunLengths("a.csv"), NAMES),
        (lambda: Polygons(csv="a.csv", class_key="kind"), NAMES),
        (lambda: Boxes("{image_id}.xml", "voc"), NAMES),
        (lambda: Boxes("a.csv", "csv", class_column="kind"), NAMES),
        (lambda: Labels("kind"), NAMES),
        (lambda: LongLabels("a.csv"), NAMES),
        # of one class whatever the names are
        (lambda: Boxes("a.csv", "csv"), None),
        (lambda: RunLengths("a.csv", instances=True), None),
        (lambda: MaskFiles("{image_id}.png", name="valid"), None),
        (lambda: ArrayFiles("{image_id}.npy"), None),
    ],
)
def test_targets_without_classes_take_the_names_if_they_have_several_classes(target, expected):
    made = target()
    data(made, classes=NAMES)
    assert made.classes == expected


def test_one_name_is_that_of_a_binary_mask():
    target = MaskFiles("{image_id}.png")
    assert data(target, classes=["salt"]).class_names == target.class_names(Path("data")) == ["salt"]
    assert target.classes is None


@pytest.mark.parametrize(
    ("target", "own"),
    [
        (MaskFiles("{image_id}.png", classes=2), "MaskFiles: classes is 2"),
        (MaskFiles("{image_id}.png", values=[3, 4, 5]), "MaskFiles: classes is 4"),
        (RunLengths("a.csv", classes=["sky", "car", "road"]), r"RunLengths: classes is \['sky', 'car', 'road'\]"),
        (Labels(["a", "b"], kind="one_hot"), r"Labels: columns are \['a', 'b'\]"),
        (RtStructures("a.dcm", ["heart"]), "RtStructures: structures are"),
        (DicomSegmentations("a.dcm", NAMES, as_index=True), "DicomSegmentations: classes is .* and class 0"),
    ],
)
def test_classes_of_a_target_that_differ_are_told_with_both(target, own):
    with pytest.raises(ValueError, match=rf"{own}.*, but data.classes is \['sky', 'road', 'car'\] \(3 classes\)"):
        data(InstanceFolders("{image_id}/*.png"), target, classes=NAMES)


@pytest.mark.parametrize("target", [Labels("kind"), LongLabels("a.csv")])
def test_labels_without_any_names_are_told_at_once(target):
    with pytest.raises(ValueError, match="classes is not set; set it, or data.classes"):
        data(target)


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a", " "]])
def test_names_that_name_nothing_are_told(names):
    with pytest.raises(ValueError, match="data.classes is .*, expected the names of all classes, each once"):
        data(Foreground(), classes=names)
