"""Animations, kinds of colour, and formats that are refused."""

import numpy as np
import pytest
from PIL import Image

from datamodules.readers import ImageReadError
from datamodules.readers.images import check_picture, picture_pixels, picture_size, read_picture


def frames(count=3, mode="RGB"):
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8)).convert(mode) for _ in range(count)]


@pytest.mark.parametrize("kind", ["png", "webp", "gif"])
def test_an_animation_is_refused_unless_one_is_chosen(tmp_path, kind):
    pictures, path = frames(), tmp_path / f"a.{kind}"
    options = {"lossless": True} if kind == "webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    for look in (read_picture, picture_size, picture_pixels, check_picture):
        with pytest.raises(ImageReadError, match=rf"a\.{kind} has 3 pages, expected 1: set reader\.pages"):
            look(path)
    for number, picture in enumerate(pictures):
        found = read_picture(path, pages=number)
        assert found.shape == (5, 7, 3)
        if kind != "gif":  # whose palette has 256 colours
            np.testing.assert_array_equal(found, np.asarray(picture))
    if kind != "gif":
        everything = read_picture(path, "unchanged", pages="channels")
        np.testing.assert_array_equal(everything, np.concatenate([np.asarray(p) for p in pictures], axis=2))
        assert picture_pixels(path, "unchanged", pages="channels") == ("uint8", 9)


def test_a_photograph_with_a_preview_behind_it_is_one_picture(tmp_path):
    """Phones write JPEG of several pictures, of which the first is the photograph."""
    pictures = frames()
    pictures[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=pictures[1:])
    assert Image.open(tmp_path / "a.jpg").n_frames == 3
    assert read_picture(tmp_path / "a.jpg").shape == (5, 7, 3)
    check_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16"])
def test_kinds_of_png(tmp_path, mode):
    if mode == "I;16":
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(np.uint16))
    else:
        picture = frames(1, mode)[0]
    picture.save(tmp_path / "a.png")
    stored = np.asarray(picture)
    stored = stored if stored.ndim == 3 else stored[..., None]
    found = read_picture(tmp_path / "a.png", "unchanged")
    assert found.dtype == stored.dtype
    np.testing.assert_array_equal(found, stored)
    kind = {"1": "1-bit", "I;16": "uint16"}.get(mode, "uint8")
    assert picture_pixels(tmp_path / "a.png", "unchanged") == (kind, stored.shape[2])
    for channels, to in (("rgb", "RGB"), ("gray", "L")):
        seen = read_picture(tmp_path / "a.png", channels)
        expected = stored if mode == "I;16" else np.asarray(picture.convert(to)).reshape(5, 7, -1)
        np.testing.assert_array_equal(seen, np.broadcast_to(expected, seen.shape))
        assert picture_pixels(tmp_path / "a.png", channels) == (seen.dtype.name, seen.shape[2])


def test_a_palette_with_transparency(tmp_path):
    picture = frames(1, "P")[0]
    picture.save(tmp_path / "a.png", transparency=3)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", "unchanged")[..., 0], np.asarray(picture))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.asarray(picture.convert("RGB")))


def test_cmyk_jpeg_has_four_inks_or_three_colours(tmp_path):
    frames(1, "CMYK")[0].save(tmp_path / "a.jpg", quality=95)
    stored = Image.open(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg", "unchanged"), np.asarray(stored))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg"), np.asarray(stored.convert("RGB")))
    assert picture_pixels(tmp_path / "a.jpg") == ("uint8", 3)


def test_formats_that_pillow_brings_to_8_bits_are_refused(tmp_path):
    frames(1)[0].save(tmp_path / "a.sgi", bpc=2)
    for look in (read_picture, picture_size, check_picture):
        with pytest.raises(
            ImageReadError, match=r"a\.sgi is SGI, which cannot be read with unchanged values; convert it to"
        ):
            look(tmp_path / "a.sgi")
