"""Patterns of mask files from globs."""

from pathlib import Path

import pytest

from exploration.layouts.images import find
from exploration.layouts.mask_patterns import common_part, mask_pattern


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


@pytest.mark.parametrize(
    ("images", "masks", "glob", "given", "pattern", "shorter"),
    [
        ("d/i/{}.jpg", "d/m/{}.png", "d/i/*.jpg", "d/m/*.png", "m/{image_id}.png", None),
        ("d/i/{}.jpg", "d/m/{}_mask.gif", "d/i/*.jpg", "d/m", "m/{image_id}_mask.gif", None),
        ("d/i/{}.jpg", "d/m/mask-{}.png", "d/i", "d/m/mask-*.png", "m/mask-{image_id}.png", None),
        ("d/{}.jpg", "d/{}.png", "d/*.jpg", "d/*.png", "{image_id}.png", None),
        ("d/{}/image.png", "d/{}/mask.png", "d/*/image.png", "d/*/mask.png", "{image_id}/mask.png", None),
        ("d/{}_sat.jpg", "d/{}_mask.png", "d/*_sat.jpg", "d/*_mask.png", "{image_id}_mask.png", "{image_id}_sat.jpg"),
        ("d/img/tile_{}.tif", "d/m/mask_{}.tif", "d/img", "d/m", "m/mask_{image_id}.tif", "img/tile_{image_id}.tif"),
        ("d/i/{}.jpg", "d/m/{}/a.png", "d/i/*.jpg", "d/m/*/*.png", "m/{image_id}/*.png", None),
        ("d/i/{}.jpg", "d/m/x/{}.png", "d/i/*.jpg", "d/m/**/*.png", "m/*/{image_id}.png", None),
    ],
)
def test_patterns_of_globs(images, masks, glob, given, pattern, shorter):
    ids = ["1", "2", "10", "11", "110", "tr_5"]
    touch(*(images.format(one) for one in ids), *(masks.format(one) for one in ids))
    if masks.endswith("/a.png"):
        touch(*(masks.format(one).replace("a.png", "b.png") for one in ids))
    found = find(glob, None, f"{given}/*" if Path(given).is_dir() else given)
    assert mask_pattern(given, found) == (pattern, shorter)


def test_a_pattern_is_kept_and_names_that_do_not_fit_are_refused():
    touch(*(f"d/i/{one}.jpg" for one in "abc"), *(f"d/m/{one}.png" for one in "xyz"))
    found = find("d/i/*.jpg", None, "d/m/*.png")
    assert mask_pattern("d/m/{image_id}.png", found) == ("m/{image_id}.png", None)
    with pytest.raises(
        ValueError, match=r"matches 3 files \(x.png, y.png, z.png, …\), but none is named after an image"
    ):
        mask_pattern("d/m/*.png", found)
    with pytest.raises(FileNotFoundError, match="no masks: nothing matches 'd/n/"):
        mask_pattern("d/n/*.png", found)


def test_the_part_of_names_that_differs():
    touch("d/a_01_sat.jpg", "d/a_02_sat.jpg")
    assert common_part(find("d/*.jpg", None)) == "a_{image_id}_sat.jpg"
    touch("e/01.jpg", "e/02.jpg")
    assert common_part(find("e/*.jpg", None)) is None
