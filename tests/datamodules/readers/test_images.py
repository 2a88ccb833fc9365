"""Pictures: their size, their direction and their end without decoding them; damage is named."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from datamodules.readers import ImageReader, ImageReadError, RgbyReader
from datamodules.readers.images import check_picture, picture_size, read_picture

KINDS = {"png": {}, "jpg": {"quality": 90}, "tif": {}, "gif": {}, "bmp": {}, "webp": {"lossless": True}}
MARKED = ["png", "jpg", "tif"]  # formats whose end is known without decoding


def picture(path, size=(40, 50), **settings):
    """Noise, so that half of the file holds about half of the pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(path, **KINDS.get(path.suffix[1:], {}), **settings)
    return path


def row(path):
    return SimpleNamespace(image_id=path.stem, path=str(path))


@pytest.fixture
def no_decoding(monkeypatch):
    def refused(self):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refused)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("kind", KINDS)
def test_size_comes_from_the_header(tmp_path, kind, no_decoding):
    assert picture_size(picture(tmp_path / f"a.{kind}")) == (40, 50)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_size_is_that_of_the_turned_picture(tmp_path, kind, orientation, no_decoding):
    path = picture(tmp_path / f"a.{kind}", exif=exif(orientation))
    assert picture_size(path) == ((50, 40) if orientation >= 5 else (40, 50))


def test_a_direction_behind_the_pixels_counts_too(tmp_path):
    """PNG allows EXIF after the pixels; only such a file is decoded for its size."""
    content = picture(tmp_path / "a.png", exif=exif(6)).read_bytes()
    start = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[start : start + 4], "big")
    chunk, rest = content[start : start + length], content[:start] + content[start + length :]
    (tmp_path / "a.png").write_bytes(rest[:-12] + chunk + rest[-12:])
    assert picture_size(tmp_path / "a.png") == (50, 40)
    assert read_picture(tmp_path / "a.png").shape[:2] == (50, 40)


@pytest.mark.parametrize("kind", MARKED)
def test_a_whole_file_is_not_decoded_to_know_that(tmp_path, kind, no_decoding):
    check_picture(picture(tmp_path / f"a.{kind}"))


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.99])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("gif", "webp")])
def test_a_cut_off_file_is_refused_and_keeps_its_size(tmp_path, monkeypatch, kind, share, lenient):
    """Also where another library has told Pillow to fill what is missing with gray."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    path = picture(tmp_path / f"a.{kind}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert picture_size(path) == (40, 50)
    for look in (ImageReader().check, ImageReader().read):
        with pytest.raises(ImageReadError, match=rf"a\.{kind} is damaged: .*; copy or download it again"):
            look(row(path))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_formats_without_a_mark_are_decoded(tmp_path, kind):
    path = picture(tmp_path / f"a.{kind}")
    check_picture(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=rf"a\.{kind} is "):
        check_picture(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", r"is empty \(0 bytes\)"),
        (b"<html>no</html>", "is not a readable image.*begins with b'<html>"),
    ],
)
def test_what_is_no_picture(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    for look in (ImageReader().check, ImageReader().size, ImageReader().read):
        with pytest.raises(ImageReadError, match=rf"a\.png {message}"):
            look(row(path))


def test_a_jpeg_with_bytes_behind_its_end_is_whole(tmp_path, no_decoding):
    path = picture(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(500))
    check_picture(path)


def test_channels_in_files_are_looked_at_one_by_one(tmp_path):
    for name in ("red", "green"):
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)).save(tmp_path / f"x_{name}.png")
    reader, one = RgbyReader(["red", "green"]), SimpleNamespace(image_id="x", path=str(tmp_path / "x_{channel}.png"))
    reader.check(one)
    content = (tmp_path / "x_green.png").read_bytes()
    (tmp_path / "x_green.png").write_bytes(content[:900])
    with pytest.raises(ImageReadError, match=r"x_green\.png is damaged"):
        reader.check(one)
    Image.fromarray(np.zeros((40, 51), np.uint8)).save(tmp_path / "x_green.png")
    with pytest.raises(
        ImageReadError, match=r"image 'x': channel green is \(40, 51\) uint8, but red is \(40, 50\) uint8"
    ):
        reader.check(one)
