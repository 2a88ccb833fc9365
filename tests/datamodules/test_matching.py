"""Names in files of labels and the images they mean."""

import unicodedata
import warnings
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.matching import match_images

FOLDERS = st.lists(st.sampled_from(["train", "val", "a b", "é"]), max_size=3)
STEMS = st.text("abé0_ %", min_size=1, max_size=4).filter(lambda text: text.strip() == text)


def table_of(*paths, ids=None):
    names = [path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for path in paths] if ids is None else ids
    return pd.DataFrame({"image_id": names, "path": list(paths)})


def quiet(names, table, root="/data", **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return match_images(names, table, root, "file", **settings)


@settings(deadline=None)
@given(
    files=st.lists(st.tuples(FOLDERS, STEMS), min_size=1, max_size=6, unique_by=lambda pair: pair[1]),
    form=st.sampled_from(
        ["id", "path", "name", "windows", "absolute", "elsewhere", "address", "decomposed", "no ending"]
    ),
)
def test_every_form_of_a_path_means_its_image(files, form):
    below = ["/".join([*folders, f"{stem}.jpg"]) for folders, stem in files]
    table = table_of(*(f"/data/{path}" for path in below))
    write = {
        "id": lambda path: path.rsplit("/", 1)[-1][:-4],
        "path": lambda path: path,
        "name": lambda path: path.rsplit("/", 1)[-1],
        "windows": lambda path: path.replace("/", "\\"),
        "absolute": lambda path: f"/data/{path}",
        "elsewhere": lambda path: f"C:\\Users\\me\\data\\{path}",
        "address": lambda path: f"https://host/bucket/data/{quote(path)}?v=1",
        "decomposed": lambda path: unicodedata.normalize("NFD", path),
        "no ending": lambda path: path[:-4],
    }[form]
    names = [write(path) for path in below]
    if form == "address" or not any("%" in name for name in names):  # %20 in a plain name is itself
        assert quiet(names, table) == dict(zip(names, table["image_id"], strict=True))


@settings(deadline=None)
@given(
    own=FOLDERS,
    other=FOLDERS,
)
def test_folders_that_both_have_must_be_equal(own, other):
    image, name = "/".join([*own, "1.jpg"]), "/".join([*other, "1.jpg"])
    agree = all(one == two for one, two in zip(reversed(own), reversed(other), strict=False))
    if agree:
        assert quiet([name], table_of(f"/data/{image}")) == {name: "1"}
    else:
        with pytest.raises(ValueError, match="Only their folders differ"):
            quiet([name], table_of(f"/data/{image}"))
    assert quiet([name], table_of(f"/data/{image}"), folders=False) == {name: "1"}


def test_images_of_one_name_are_told_apart_by_folders():
    table = table_of("/data/x/image.png", "/data/y/image.png", ids=["x", "y"])
    assert quiet(["x/image.png", "y/image.png", "z/image.png"], table) == {"x/image.png": "x", "y/image.png": "y"}
    with pytest.raises(ValueError, match=r"file: 'image\.png' matches several images: 'x', 'y'"):
        quiet(["image.png"], table)


def test_of_two_names_the_one_that_fits_better_is_taken_and_equal_ones_are_refused():
    table = table_of("/data/a.png")
    assert quiet(["a.jpg", "a.png"], table) == {"a.png": "a"}
    train = table_of("/data/train/a.png")
    assert quiet(["val/a.png", "train/a.png"], train) == {"train/a.png": "a"}
    assert quiet(["val/a.png", "train/a.png"], train, root="/data/train") == {"train/a.png": "a"}
    for names in (["a", "a.png"], ["a.png", "./a.png"], ["a.jpg", "a.tif"]):
        with pytest.raises(ValueError, match=r"file: .* both match the image 'a'"):
            quiet(names, table)


def test_an_ending_is_no_number_and_ids_may_have_points():
    table = table_of("/data/1.jpg", "/data/scan.v2.nii.gz", ids=["1", "scan.v2.nii"])
    with pytest.raises(ValueError, match="none of its 2 names"):
        quiet(["1.50", "2.5"], table)
    assert quiet(["scan.v2.nii.gz", "1.JPG"], table) == {"scan.v2.nii.gz": "scan.v2.nii", "1.JPG": "1"}
    assert quiet(["scan.v2"], table) == {"scan.v2": "scan.v2.nii"}


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["1", "2"], "with their leading zeros"),
        (["1.0", "2.0"], None),
        (["IMG_001", "IMG_002"], "without 'IMG_' before them"),
        (["001_mask.png", "002_mask.png"], "without '_mask' after them"),
        (["other/001.jpg"], "folders differ"),
        (["x", "y"], None),
    ],
)
def test_what_would_match_is_said(names, hint):
    table = table_of("/data/train/001.jpg", "/data/train/002.jpg")
    with pytest.raises(
        ValueError, match=r"file: none of its \d names matches an image: .*the images are '001', '002'"
    ) as caught:
        quiet(names, table)
    assert "would match" not in str(caught.value) if hint is None else hint in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "names", "hint"),
    [
        (["1", "2"], ["1.0", "2.0"], "without the decimal point"),
        (["Scan A", "Scan B"], ["scan a", "scan b"], "except for upper and lower case"),
        (["scan_a", "scan_b"], ["scan-a", "scan b"], "except for spaces, dashes and underscores"),
        (["p-a", "p-b"], ["a", "b"], "with 'p-' before them"),
    ],
)
def test_other_spellings_are_said(ids, names, hint):
    with pytest.raises(ValueError, match=hint):
        quiet(names, pd.DataFrame({"image_id": ids}))


def test_shares_are_told_with_three_names():
    table = table_of(*(f"/data/{number:03}.jpg" for number in range(1, 21)))
    names = [str(number) if number < 10 else f"{number:03}" for number in range(1, 21)]
    with pytest.warns(
        UserWarning, match=r"file: 9 of 20 names match no image: '1', '2', '3', …; 9 of 20 images have no name.*zeros"
    ):
        assert len(match_images(names, table, "/data", "file")) == 11
    with pytest.raises(
        ValueError, match=r"file has no row for 9 of 20 images; the first is '001', '002', '003', ….*zeros"
    ):
        match_images(names, table, "/data", "file", every=True)
    with pytest.raises(ValueError, match=r"file: 9 of 20 names match no image"):
        match_images(names, table, "/data", "file", others="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(match_images([*names[9:], "x"], table, "/data", "file", others="ignore")) == 11
    with pytest.raises(ValueError, match="file: it has no rows; the images are '001'"):
        match_images([], table, "/data", "file")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (r"train\a.jpg", "1 of 1 names have backslashes"),
        ("train/a.tif", "1 of 1 names have another ending than the image file: 'train/a.tif'"),
    ],
)
def test_what_was_passed_over_is_told(name, message):
    with pytest.warns(UserWarning, match=message):
        match_images([name], table_of("/data/train/a.jpg"), "/data", "file")


def test_folders_that_cannot_be_compared_are_told(tmp_path):
    (tmp_path / "train").mkdir()
    table = table_of(f"{tmp_path}/train/a.jpg")
    with pytest.warns(UserWarning, match="have a folder that is not in the image's path"):
        match_images(["val/a.jpg"], table, tmp_path / "train", "file")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match_images(["train/a.jpg"], table, tmp_path / "train", "file")
