"""Images of a glob: splits, ids, type and range."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from exploration.layouts.images import common_root, find, measure


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(pixels, *paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".tif"):
            tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
        else:
            Image.fromarray(pixels).save(path)


GRAY = np.zeros((6, 8), np.uint8)


@pytest.mark.parametrize(
    ("train", "test", "glob"),
    [
        ("d/train/a.png", "d/test/b.png", "d/train/*.png"),
        ("d/train_images/a.png", "d/test_images/b.png", "d/train_images/*.png"),
        ("d/stage1_train/a/images/a.png", "d/stage1_test/b/images/b.png", "d/stage1_train/*/images/*.png"),
        ("d/images/train/a.png", "d/images/test/b.png", "d/images/*/*.png"),
        ("d/images/a.png", "d/test/b.png", "d/images"),
        ("d/images/a.png", "d/test/images/b.png", "d/images/*.png"),
        ("d/a.png", "d/test/b.png", "d/*.png"),
    ],
)
def test_test_images_are_found_beside_those_of_training(train, test, glob):
    save(GRAY, train, test)
    found = find(glob, None)
    assert found.table["image_id"].tolist() == ["a"]
    assert [path.as_posix() for path in found.root.glob(found.test)] == [test]


def test_no_test_images_are_told_and_given_ones_taken():
    save(GRAY, "d/x/a.png", "e/b.png")
    found = find("d/x/*.png", None)
    assert found.test is None
    assert "no test images" in found.assumed[0]
    assert (found.root.as_posix(), find("d/x/*.png", "e").test) == ("d/x", "e/*.png")


def test_equal_names_in_a_folder_per_image():
    save(GRAY, *(f"d/case{number}/image.png" for number in range(3)))
    found = find("d/*/image.png", None)
    assert found.pattern == "{image_id}/image.png"
    assert found.table["image_id"].tolist() == ["case0", "case1", "case2"]


def test_nothing_is_an_error():
    Path("d").mkdir()
    with pytest.raises(FileNotFoundError, match="d has no file that ends in .png"):
        find("d", None)
    with pytest.raises(FileNotFoundError, match="no images"):
        find("d/*.jpg", None)
    assert common_root("a/b/*.png", "a/c.csv", None).as_posix() == "a"


@pytest.mark.parametrize(
    ("pixels", "path", "range_", "channels", "reader"),
    [
        (np.full((6, 8, 3), 200, np.uint8), "d/a.png", 255, 3, "rgb"),
        (np.full((6, 8), 200, np.uint8), "d/a.png", 255, 3, "rgb"),
        (np.full((6, 8), 3000, np.uint16), "d/a.tif", 4095, 3, "rgb"),
        (np.full((6, 8), 30000, np.uint16), "d/a.tif", 65535, 3, "rgb"),
        (np.full((6, 8), 0.5, np.float32), "d/a.tif", 1, 3, "rgb"),
        (np.full((6, 8, 5), 900, np.uint16), "d/a.tif", 1023, 5, "unchanged"),
    ],
)
def test_type_range_and_channels(pixels, path, range_, channels, reader):
    save(pixels, path)
    found = find("d/*", None)
    measure(found)
    assert (found.input_range, found.channels, found.reader) == (range_, channels, reader)
    assert (found.mean is None) == (pixels.dtype == np.uint8)
    if found.mean is not None:
        np.testing.assert_allclose(found.mean, pixels.flat[0] / range_, atol=1e-4)
        assert len(found.mean) == channels
