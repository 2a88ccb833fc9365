"""Ids of objects from pictures and folders: exactly, or refused; contours that do not count."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from datamodules.decoder import Decoder
from datamodules.readers import ImageReader
from datamodules.readers.stacks import StackReader
from datamodules.targets import InstanceFolders, LabelImages
from datamodules.targets.label_images import as_ids
from masks.void import is_class_map


def read(root, target, size):
    target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    return target.read(SimpleNamespace(image_id="a"), size)


@pytest.fixture
def contoured():
    """Three objects with Pascal VOC's contour around them."""
    ids = np.zeros((30, 40), np.uint8)
    for number, (top, left) in enumerate([(2, 2), (2, 20), (16, 10)], 1):
        ids[top : top + 10, left : left + 12] = 255
        ids[top + 1 : top + 9, left + 1 : left + 11] = number
    return ids


@pytest.mark.parametrize("palette", [False, True])
def test_a_contour_is_no_object_where_it_is_ignored(tmp_path, contoured, palette):
    picture = Image.fromarray(contoured)
    if palette:
        picture = Image.fromarray(contoured, "P")
        picture.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    picture.save(tmp_path / "a.png")
    found = read(tmp_path, LabelImages("{image_id}.png", ignore=255), contoured.shape)
    np.testing.assert_array_equal(found["instances"], np.where(contoured == 255, 0, contoured))
    np.testing.assert_array_equal(found["valid"], contoured != 255)
    every = read(tmp_path, LabelImages("{image_id}.png"), contoured.shape)
    np.testing.assert_array_equal(every["instances"], contoured)  # 255 is an id like others
    assert "valid" not in every


def test_where_nothing_is_ignored_all_counts(tmp_path, contoured):
    Image.fromarray(np.where(contoured == 255, 0, contoured)).save(tmp_path / "a.png")
    assert set(read(tmp_path, LabelImages("{image_id}.png", ignore=255), contoured.shape)) == {"instances"}


@pytest.mark.parametrize("largest", [255, 65_536, 2**31, 2**32, 2**62])
def test_ids_are_no_class_numbers(tmp_path, largest):
    """The type tells: of class numbers the 255th would not count."""
    labels = np.array([[0, 1, 255, largest]], np.uint64)
    ids = as_ids(labels, tmp_path / "a.tif")
    np.testing.assert_array_equal(ids, labels)
    assert not is_class_map(ids)
    if largest <= 2**32:
        tifffile.imwrite(tmp_path / "a.tif", labels.astype(np.uint32 if largest < 2**32 else np.uint64))
        Image.new("RGB", (4, 1)).save(tmp_path / "a.png")
        target = LabelImages("{image_id}.tif")
        target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
        found = Decoder(ImageReader(), [target]).read(SimpleNamespace(image_id="a", path=tmp_path / "a.png"))[1]
        np.testing.assert_array_equal(found["instances"], labels)
        assert "valid" not in found


@pytest.mark.parametrize(("name", "cause"), [("a.jpg", "JPEG"), ("a.webp", "WebP")])
def test_compression_that_loses_ids(tmp_path, contoured, name, cause):
    Image.fromarray(contoured).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"label image .*{name} (has no valid ids: {cause} changed|has 3 channels)"):
        read(tmp_path, LabelImages(name), contoured.shape)


def test_objects_in_jpeg_files(tmp_path, contoured):
    (tmp_path / "a").mkdir()
    mask = (contoured == 1).astype(np.uint8)
    for white in (255, 1):  # of 0 and 1 little is left, and what there is looks sound
        Image.fromarray(mask * np.uint8(white)).save(tmp_path / "a/1.jpg", quality=60)
        with pytest.raises(
            ValueError, match=r"1\.jpg has values .*expected 0 and one other value; JPEG changes"
        ) as error:
            read(tmp_path, InstanceFolders("{image_id}/*.jpg"), mask.shape)
        assert "save masks as PNG" in str(error.value)
    block = np.zeros((32, 32), np.uint8)
    block[8:16, 8:24] = 255  # whole blocks of 8 x 8 keep their values
    Image.fromarray(block).save(tmp_path / "a/1.jpg", quality=95)
    assert (read(tmp_path, InstanceFolders("{image_id}/*.jpg"), block.shape)["instances"] == block // 255).all()


def test_one_bit_objects(tmp_path, contoured):
    (tmp_path / "a").mkdir()
    for number in (1, 2, 3):
        Image.fromarray(contoured == number).save(tmp_path / f"a/{number}.png")
    found = read(tmp_path, InstanceFolders("{image_id}/*.png"), contoured.shape)["instances"]
    np.testing.assert_array_equal(found, np.where(contoured == 255, 0, contoured))


def test_a_stack_counts_where_its_own_slice_does():
    """What its neighbours do not know is input alone."""

    class Half(ImageReader):
        def read_with_valid(self, row):
            return np.full((2, 3, 1), row.path, np.uint8), np.arange(3)[None].repeat(2, 0) != row.path

    row = SimpleNamespace(image_id="a", path=1, slices=[0, 1, 2])
    image, valid = StackReader(reader=Half()).read_with_valid(row)
    np.testing.assert_array_equal(image[0, 0], [0, 1, 2])
    np.testing.assert_array_equal(valid, [[True, False, True]] * 2)
    np.testing.assert_array_equal(StackReader(reader=Half()).known(row), valid)
