"""Files of images by patterns: one file each, from one listing, as `glob` would find it for every image."""

import glob
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.plain import ImageData
from datamodules.table import rows_of
from datamodules.targets import ArrayFiles, Boxes, InstanceFolders, LabelImages, MaskFiles, Polygons
from datamodules.targets.patterns import any_file, expansions, located, one_file_each


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def table(root, *names):
    return pd.DataFrame({"image_id": [Path(name).stem for name in names], "path": [str(root / name) for name in names]})


def found(root, pattern, images):
    return {
        key: path.relative_to(root).as_posix() for key, path in one_file_each(root, pattern, images, "mask").items()
    }


def test_a_folder_per_split(tmp_path):
    images = ["pictures/train/a.png", "pictures/val/b.png"]
    tree(tmp_path, *images, "masks/train/a.png", "masks/val/b.png", "masks/train/b.txt")
    assert found(tmp_path, "masks/{split}/{image_id}.png", table(tmp_path, *images)) == {
        "a": "masks/train/a.png",
        "b": "masks/val/b.png",
    }


def test_the_split_may_be_any_folder_and_occur_twice(tmp_path):
    images = ["train/images/a.png", "test/images/b.png"]
    tree(tmp_path, *images, "train/masks/a_train.png", "test/masks/b_test.png")
    assert found(tmp_path, "{split}/masks/*_{split}.png", table(tmp_path, *images))["b"] == "test/masks/b_test.png"
    assert found(tmp_path, "{split}/masks/{image_id}_{split}.png", table(tmp_path, *images))["a"].endswith(
        "a_train.png"
    )


def test_a_column_named_split_comes_first(tmp_path):
    tree(tmp_path, "images/a.png", "masks/val/a.png")
    images = table(tmp_path, "images/a.png").assign(split="val")
    assert found(tmp_path, "masks/{split}/{image_id}.png", images) == {"a": "masks/val/a.png"}


def test_names_that_follow_from_the_id_by_a_regular_expression(tmp_path):
    for name, value in (("1_sat.png", 9), ("1_mask.png", 1), ("20_sat.png", 9), ("20_mask.png", 0)):
        (tmp_path / "train").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "train" / name), np.full((3, 4), value, np.uint8))
    data = ImageData(
        str(tmp_path), "train/*_sat.png", [MaskFiles("train/{tile}_mask.png")], id_pattern="(?P<tile>[0-9]+)_sat"
    )
    rows = rows_of(data.table())
    assert [data.target_arrays(row)["mask"].max() for row in rows] == [1, 0]


def test_city_folders_and_another_suffix(tmp_path):
    images = ["left/train/aachen/a_1_left.png", "left/val/bonn/b_2_left.png"]
    masks = ["fine/train/aachen/a_1_ids.png", "fine/train/aachen/a_1_color.png", "fine/val/bonn/b_2_ids.png"]
    tree(tmp_path, *images, *masks)
    data = ImageData(str(tmp_path), "left/*/*/{image_id}_left.png", [MaskFiles("-")])
    for pattern in ("fine/{split}/{folder}/{image_id}_ids.png", "fine/*/*/{image_id}_ids.png", "**/{image_id}_ids.png"):
        assert found(tmp_path, pattern, data.table()) == {"a_1": masks[0], "b_2": masks[2]}


def test_no_image_is_its_own_mask(tmp_path):
    images = ["a.png", "ab.png"]
    tree(tmp_path, *images, "a_mask.png", "ab-mask.png")
    assert found(tmp_path, "{image_id}[_-]*.png", table(tmp_path, *images)) == {"a": "a_mask.png", "ab": "ab-mask.png"}
    with pytest.raises(ValueError, match="image 'a' has 2 files for its mask, expected 1: .*a_mask.png, .*ab-mask.png"):
        found(tmp_path, "{image_id}*.png", table(tmp_path, *images))


@pytest.mark.parametrize("pattern", ["masks/{split}/{image_id}.png", "masks/*/{image_id}.png"])
def test_two_matches_are_named(tmp_path, pattern):
    tree(tmp_path, "train/old/a.png", "masks/train/a.png", "masks/old/a.png")
    with pytest.raises(ValueError, match=r"image 'a' has 2 files .*: \S+masks/\w+/a.png, \S+masks/\w+/a.png"):
        found(tmp_path, pattern, table(tmp_path, "train/old/a.png"))


def test_missing_files_are_told_together(tmp_path):
    images = [f"pictures/train/{name}.png" for name in "abc"]
    tree(tmp_path, *images, "masks/train/b.png")
    with pytest.raises(FileNotFoundError, match=r"^2 images have no mask; the first is 'a': file ") as error:
        found(tmp_path, "masks/{split}/{image_id}.png", table(tmp_path, *images))
    assert "masks/{split}/a.png ({split}: any of train, pictures) does not exist" in str(error.value)
    assert str(error.value).endswith("and 'c'")
    with pytest.raises(
        FileNotFoundError, match=r"2 images have no mask; the first is 'a': file \S*masks/\*/a.png does"
    ):
        found(tmp_path, "masks/*/{image_id}.png", table(tmp_path, *images))


def test_any_file_of_a_pattern(tmp_path):
    tree(tmp_path, "labels/val_2017.json", "labels/train_2017.json", "labels/train.txt")
    for pattern in ("labels/{split}_2017.json", "labels/{split}*.json", "*/{split}_*.json", "labels/train_2017.json"):
        assert any_file(tmp_path, pattern) == tmp_path / "labels/train_2017.json"
    with pytest.raises(FileNotFoundError, match="no file has such a path"):
        any_file(tmp_path, "labels/{split}.xml")


def test_an_unknown_column_is_told(tmp_path):
    with pytest.raises(ValueError, match="the table of images has no column 'tile', only .*data.id_pattern"):
        found(tmp_path, "{tile}_mask.png", table(tmp_path, "a.png"))
    with pytest.raises(ValueError, match="has no column 'split'"):
        found(tmp_path, "{split}/{image_id}.png", pd.DataFrame({"image_id": ["a"]}))
    with pytest.raises(ValueError, match="has no column 'tile'"):
        expansions(tmp_path, "{tile}", {"image_id": "a"})


def test_paths_stay_under_the_root(tmp_path):
    for pattern in ("../{image_id}.png", "../*/{image_id}.png"):
        with pytest.raises(ValueError, match="is outside"):
            found(tmp_path, pattern, table(tmp_path, "a.png"))
    with pytest.raises(ValueError, match="is outside"):
        found(tmp_path, "{where}/{image_id}.png", table(tmp_path, "a.png").assign(where=".."))


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.text("ab_[", min_size=1, max_size=4), min_size=1, max_size=6),
    st.sets(st.tuples(st.sampled_from(["m", "n"]), st.text("ab_[", min_size=1, max_size=6)), max_size=12),
    st.sampled_from(["m/*{image_id}*", "*/{image_id}", "**/a*{image_id}", "*/{image_id}?", "?/[ab]_{image_id}", "m/*"]),
)
def test_one_listing_finds_what_a_glob_per_image_finds(tmp_path_factory, ids, files, pattern):
    root = tmp_path_factory.mktemp("root")
    tree(root, *(f"{folder}/{name}" for folder, name in files))
    expected = {}
    for image_id in ids:
        paths = sorted(p for p in root.glob(pattern.replace("{image_id}", glob.escape(image_id))) if p.is_file())
        if paths:
            expected[image_id] = paths
    if any(len(paths) > 1 for paths in expected.values()):
        with pytest.raises(ValueError, match="files for its"):
            located(root, pattern, pd.DataFrame({"image_id": sorted(ids)}))
    else:
        assert located(root, pattern, pd.DataFrame({"image_id": sorted(ids)})) == {k: v[0] for k, v in expected.items()}


BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
VOC = f"<annotation><object><name>x</name>{BOX}</object></annotation>"
POLYGON = '{"features": []}'


@pytest.mark.parametrize(
    ("target", "file", "name"),
    [
        (MaskFiles("truth/{split}/{image_id}.png"), "a.png", "mask"),
        (MaskFiles("truth/*/{image_id}*.png"), "a_1.png", "mask"),
        (LabelImages("truth/{split}/{image_id}.png"), "a.png", "instances"),
        (InstanceFolders("truth/{split}/{image_id}/*.png"), "a/1.png", "instances"),
        (InstanceFolders("truth/*/{image_id}_*.png"), "a_1.png", "instances"),
        (ArrayFiles("truth/{split}/{image_id}.npy"), "a.npy", "mask"),
        (Boxes("truth/{split}/{image_id}.xml", "voc"), "a.xml", "boxes"),
        (Polygons("truth/{split}/{image_id}.json"), "a.json", "mask"),
    ],
)
def test_every_target_with_a_pattern(tmp_path, target, file, name):
    """Also after pickling, as in a worker."""
    path = tmp_path / "truth" / "train" / file
    tree(tmp_path, "images/train/a.png", f"truth/train/{file}")
    mask = np.array([[0, 1], [1, 1]], np.uint8)
    if path.suffix == ".png":
        Image.fromarray(mask).save(path)
    elif path.suffix == ".npy":
        np.save(path, mask[None])
    else:
        path.write_text(VOC if path.suffix == ".xml" else POLYGON)
    cv2.imwrite(str(tmp_path / "images" / "train" / "a.png"), mask)
    data = ImageData(str(tmp_path), "images/*/*.png", [target])
    (row,) = rows_of(data.table())
    arrays = data.target_arrays(row)
    assert target.files(row) == [path]
    assert arrays[name].sum() == {"boxes": 4, "mask": 0 if path.suffix == ".json" else 3, "instances": 3}[name]
