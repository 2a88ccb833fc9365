"""Who is validated: the folds file is checked against the images, and the author's own split says what leaks."""

import cv2
import numpy as np
import pandas as pd
import pytest

from datamodules import ImageDataModule


@pytest.fixture
def root(tmp_path):
    """Four images, of which the last has the pixels of the first, and one that the author validates."""
    for folder, names in (("images", "abcd"), ("val", "e")):
        (tmp_path / folder).mkdir()
        for name in names:
            gray = 0 if name == "d" else 40 * (ord(name) - ord("a"))
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.full((8, 9, 3), gray, np.uint8))
    return tmp_path


def module(root, folds=None, **more):
    if folds is not None:
        pd.DataFrame(folds).to_csv(root / "folds.csv", index=False)
    settings = {"images": "images/*.png", "targets": [], "folds": str(root / "folds.csv"), "num_workers": 0}
    return ImageDataModule(str(root), **settings | more)


def test_a_fold_is_held_out_and_the_rest_is_trained_on(root):
    data = module(root, {"image_id": list("abcd"), "fold": [1, 0, -1, 1], "group": list("xyzx")}, fold=1)
    assert data.split_table("val")["image_id"].tolist() == ["a", "d"]
    assert data.split_table("train")["image_id"].tolist() == ["b", "c"]
    assert data.groups() == {"a": "x", "b": "y", "c": "z", "d": "x"}
    assert module(root, fold="all").split_table("train")["image_id"].tolist() == list("abcd")
    assert module(root, fold="all").split_table("val").empty


def test_a_folds_file_that_does_not_fit_is_refused(root):
    folds = {"image_id": list("abcd"), "fold": [0, 1, 0, 0], "group": list("abcd")}
    with pytest.raises(FileNotFoundError, match=r"python cli\.py folds"):
        module(root).split_table("val")
    with pytest.raises(ValueError, match=r"data\.folds is not set"):
        ImageDataModule(str(root), "images/*.png", []).split_table("val")
    with pytest.raises(ValueError, match=r"data\.fold is 9, but .* has folds \[0, 1\]"):
        module(root, folds, fold=9).split_table("train")
    with pytest.raises(ValueError, match=r"1 images are in no fold \['d'\], 1 ids have no image \['x'\]"):
        module(root, folds | {"image_id": list("abcx")}).split_table("train")


def test_equal_pixels_in_two_folds_of_a_file_without_groups(root):
    ungrouped = {"image_id": list("abcd"), "fold": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match=r"'a' \(fold 0\) and 'd' \(fold 1\) have equal pixels"):
        module(root, ungrouped).split_table("train")
    assert len(module(root, ungrouped | {"fold": [0, 1, 1, 0]}).split_table("train")) == 2
    assert len(module(root, ungrouped | {"group": list("abcd")}).split_table("train")) == 2  # somebody has looked


def test_the_authors_split_is_held_out_and_says_what_leaks(root):
    data = module(root, fold="given", val_images="val/*.png")
    assert data.split_table("val")["image_id"].tolist() == ["e"]
    assert data.split_table("train")["image_id"].tolist() == list("abcd")
    cv2.imwrite(str(root / "val/e.png"), np.zeros((8, 9, 3), np.uint8))
    with pytest.warns(UserWarning, match="1 images have equal pixels on both sides"):
        module(root, fold="given", val_images="val/*.png").split_table("val")
    with pytest.raises(ValueError, match=r"data\.val_images is not set"):
        module(root, fold="given").split_table("val")
    (root / "val/e.png").rename(root / "val/a.png")
    with pytest.raises(ValueError, match=r"data\.images and data\.val_images share 1 ids \(first: 'a'\)"):
        module(root, fold="given", val_images="val/*.png").table()
