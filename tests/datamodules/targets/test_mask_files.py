"""Values of mask files: exactly, or refused; what does not count, in any of them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from datamodules.targets import MaskFiles
from datamodules.targets.mask_files import as_numbers, as_target

SIZE = (40, 50)


def read(root, file, **settings):
    target = MaskFiles(file, **settings)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    with Image.open(root / file) as picture:
        size = picture.size[::-1]
    return target.read(SimpleNamespace(image_id="a"), size)


def save(root, values, name="a.png", **settings):
    Image.fromarray(values).save(root / name, **settings)
    return name


@pytest.fixture
def mask():
    found = np.zeros(SIZE, np.uint8)
    found[10:30, 10:30] = 1
    return found


@settings(deadline=None)
@given(
    arrays_of.arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, 2, 7, 255])),
    st.sampled_from([None, 0, 1, 2, 7, 255]),
)
def test_class_numbers_with_any_ignored_one(tmp_path_factory, values, ignore):
    root = tmp_path_factory.mktemp("masks", numbered=True)
    save(root, values)
    ignored = values == (255 if ignore is None else ignore)
    rest = set(np.unique(values[~ignored]).tolist())
    for kind, table in (({"classes": 3}, None), ({"values": [2, [1, 7]]}, {2: 1, 1: 2, 7: 2})):
        if table is None and rest - {0, 1, 2}:
            with pytest.raises(ValueError, match=r"has class \d+, expected 0 to 2 \(or \d+, ignored\)"):
                read(root, "a.png", ignore=ignore, **kind)
            continue
        if table is not None and ignore in table:
            with pytest.raises(ValueError, match="is both in values .* and ignored"):
                read(root, "a.png", ignore=ignore, **kind)
            continue
        found = read(root, "a.png", ignore=ignore, **kind)
        expected = (
            values.astype(np.int64) if table is None else np.select([values == v for v in table], [*table.values()])
        )
        np.testing.assert_array_equal(found["mask"], np.where(ignored, 255, expected))
        assert found["mask"].dtype == np.int64
        np.testing.assert_array_equal(found.get("valid", np.ones((4, 6), bool)), ~ignored)


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("ignore", [2, 7, 255, 0])
def test_binary_masks_with_an_ignored_value(tmp_path, mask, white, ignore):
    if white == ignore:
        return
    values = mask * np.uint8(white)
    values[:, 40:] = ignore
    found = read(tmp_path, save(tmp_path, values), ignore=ignore)
    counted = values != ignore
    np.testing.assert_array_equal(found["mask"], (mask * counted)[None])
    np.testing.assert_array_equal(found["valid"], counted)
    assert found["mask"].dtype == np.uint8


def test_white_is_no_void_unless_it_is_said_to_be(tmp_path, mask):
    name = save(tmp_path, mask * np.uint8(255))
    found = read(tmp_path, name)
    np.testing.assert_array_equal(found["mask"][0], mask)
    assert "valid" not in found
    found = read(tmp_path, name, ignore=255)
    np.testing.assert_array_equal(found["valid"], mask == 0)
    assert not found["mask"].any()
    mask[0, 0] = 255
    with pytest.raises(ValueError, match=r"has values \[0, 1, 255\], expected 0 and one of .* set `ignore: 255`"):
        read(tmp_path, save(tmp_path, mask))


def test_one_bit_is_0_and_1(tmp_path, mask):
    name = save(tmp_path, mask.astype(bool))
    for kind in ({"classes": 2}, {"values": [255]}, {"values": [1]}):
        found = read(tmp_path, name, **kind)
        np.testing.assert_array_equal(found["mask"], mask)
        assert "valid" not in found
    np.testing.assert_array_equal(read(tmp_path, name)["mask"], mask[None])
    np.testing.assert_array_equal(read(tmp_path, name, ignore=1)["valid"], mask == 0)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("shape", ["square", "disc", "line"])
def test_white_in_a_jpeg_is_cut_at_half(tmp_path, mask, quality, shape):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = {"square": mask > 0, "disc": (y - 20) ** 2 + (x - 24) ** 2 < 140, "line": abs(x - 21) < 2}[shape]
    name = save(tmp_path, mask.astype(np.uint8) * np.uint8(255), "a.jpg", quality=quality)
    found = read(tmp_path, name, values=[255])
    np.testing.assert_array_equal(found["mask"] == 1, mask)
    assert "valid" not in found


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({}, r"has values \[0, 1, .*, expected 0 and one of 1, 255, 65535: JPEG changes"),
        ({"classes": 2}, "JPEG changes pixel values, so class numbers cannot be read"),
        ({"values": [255], "ignore": 128}, "JPEG changes pixel values"),
        ({"values": [128, 255]}, "JPEG changes pixel values"),
        ({"values": [250]}, "JPEG changes pixel values"),
        ({"ignore": 128}, "JPEG changes pixel values"),
    ],
)
def test_a_jpeg_is_refused_where_values_matter(tmp_path, mask, settings, cause):
    with pytest.raises(ValueError, match=cause):
        read(tmp_path, save(tmp_path, mask * np.uint8(255), "a.jpg", quality=75), **settings)


def test_small_numbers_that_a_jpeg_has_melted_together(tmp_path):
    """All that is left of 0, 1 and 2 lies among 0, 1 and 2, so the values do not tell."""
    values = np.random.default_rng(0).integers(0, 3, SIZE, np.uint8)
    with pytest.raises(ValueError, match="JPEG changes pixel values"):
        read(tmp_path, save(tmp_path, values, "a.jpg", quality=75), classes=3)
    with pytest.raises(ValueError, match="JPEG changes pixel values"):
        read(tmp_path, save(tmp_path, values // 2, "b.jpg", quality=75))


def test_gray_beside_white_in_a_jpeg_is_refused(tmp_path, mask):
    gray = mask * np.uint8(255)
    gray[:, 32:48] = 128
    with pytest.raises(ValueError, match="JPEG changes pixel values"):
        read(tmp_path, save(tmp_path, gray, "a.jpg", quality=90), values=[255])


@pytest.mark.parametrize(("name", "settings"), [("a.webp", {}), ("a.jp2", {"irreversible": True}), ("a.avif", {})])
def test_other_compression_that_loses(tmp_path, mask, name, settings):
    picture = np.stack([mask * np.uint8(255)] * 3, -1) if name != "a.jp2" else mask * np.uint8(255)
    with pytest.raises(ValueError, match=r"changes pixel values|changed its values|one of 1, 255, 65535"):
        read(tmp_path, save(tmp_path, picture, name, **settings), classes=2)


def test_lossless_kinds_of_the_same_formats(tmp_path, mask):
    np.testing.assert_array_equal(read(tmp_path, save(tmp_path, mask, "a.jp2"), classes=2)["mask"], mask)
    colours = np.stack([mask] * 3, -1)
    found = read(tmp_path, save(tmp_path, colours, "a.webp", lossless=True), classes=2)
    np.testing.assert_array_equal(found["mask"], mask)


def test_numbers_that_are_no_classes(tmp_path, mask):
    path = tmp_path / "a.tif"
    for values, cause in (
        (mask * 1.5, r"has value 1\.5, expected integers"),
        (np.where(mask, np.nan, 0.0), "has value nan, expected integers"),
        (np.where(mask, np.inf, 0.0), "has value inf, expected integers"),
        (mask.astype(np.int32) * 65537, "has class 65537, expected 0 to 1"),
        (mask.astype(np.int64) * -1, "has class -1, expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=cause):
            as_numbers(values, path, 2)
    np.testing.assert_array_equal(as_numbers(mask * 1.0, path, 2), mask)


def test_class_255_needs_another_number(tmp_path):
    values = np.array([[0, 255, 256]], np.int32)
    with pytest.raises(ValueError, match="has class 255, the number of void pixels"):
        as_numbers(values, tmp_path / "a.tif", 300, ignore=299)
    with pytest.raises(ValueError, match="set `ignore: 255` of the target, or"):
        as_numbers(values, tmp_path / "a.tif", 300)
    found = as_target(as_numbers(values, tmp_path / "a.tif", 300, ignore=255), "mask", 300)
    np.testing.assert_array_equal(found["mask"], [[0, 255, 256]])
    np.testing.assert_array_equal(found["valid"], [[True, False, True]])


def test_a_file_of_what_counts(tmp_path, mask):
    found = read(tmp_path, save(tmp_path, mask * np.uint8(255)), name="valid")
    np.testing.assert_array_equal(found["valid"], mask > 0)
    assert set(found) == {"valid"}


def test_arguments_that_contradict_each_other():
    with pytest.raises(ValueError, match=r"255 is both in values \[\[3, 255\]\] and ignored"):
        MaskFiles("a.png", values=[[3, 255]], ignore=255)
    with pytest.raises(ValueError, match="values is empty"):
        MaskFiles("a.png", values=[])
