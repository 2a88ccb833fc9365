"""Depths that Pillow would change: PNG of 16 bits or few, JPEG 2000, PGM and PPM of any white, AVIF."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from datamodules.readers import ImageReadError
from datamodules.readers.images import check_picture, picture_pixels, picture_size, read_picture

COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # samples -> PNG's colour type


def values(shape, most, kind):
    return np.random.default_rng(0).integers(0, most, shape, endpoint=True).astype(kind)


def write_png(path, image, *chunks):
    """A PNG of 16 bits, written by the specification."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, samples = image.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOURS[samples], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def same(path, expected, kind=None):
    found = read_picture(path, "unchanged")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert picture_size(path) == expected.shape[:2]
    assert picture_pixels(path, "unchanged") == (kind or expected.dtype.name, expected.shape[2])
    check_picture(path)


CHUNKS = [
    (),
    ((b"gAMA", struct.pack(">I", 45455)),),
    ((b"sBIT", bytes([12, 12, 12])),),
    ((b"tRNS", struct.pack(">HHH", 5, 6, 7)),),
]


@pytest.mark.parametrize("chunks", CHUNKS)
def test_png_of_16_bits_in_colour(tmp_path, chunks):
    image = values((5, 7, 3), 65535, np.uint16)
    path = write_png(tmp_path / "a.png", image, *chunks)
    same(path, image)
    np.testing.assert_array_equal(read_picture(path), image)
    weighted = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_picture(path, "gray")[..., 0], weighted, atol=2)


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_png_of_16_bits_with_alpha(tmp_path, samples):
    image = values((5, 7, samples), 65535, np.uint16)
    path = write_png(tmp_path / "a.png", image)
    same(path, image)
    colours = image[..., : 3 if samples == 4 else 1]
    np.testing.assert_array_equal(read_picture(path), np.broadcast_to(colours, (5, 7, 3)))
    if samples < 4:
        np.testing.assert_array_equal(read_picture(path, "gray"), colours)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits(tmp_path, bits):
    """Its numbers, or white at 255."""
    image = values((5, 7, 1), 2**bits - 1, np.uint8)
    scaled = (image * (255 // (2**bits - 1)))[..., 0]
    Image.fromarray(scaled).save(tmp_path / "a.png", bits=bits)
    same(tmp_path / "a.png", image.astype(bool) if bits == 1 else image, f"{bits}-bit")
    for channels in ("rgb", "gray"):
        np.testing.assert_array_equal(read_picture(tmp_path / "a.png", channels)[..., 0], scaled)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("most", [1, 3, 100, 255, 256, 300, 4095, 65535])
def test_pgm_and_ppm_of_any_white(tmp_path, most, samples, plain):
    image = values((5, 7, samples), most, np.uint8 if most < 256 else np.uint16)
    magic = {(1, True): 2, (3, True): 3, (1, False): 5, (3, False): 6}[samples, plain]
    header = f"P{magic}\n# by hand\n7 5\n{most}\n".encode()
    if plain:
        content = b"\n".join(b" ".join(b"%d" % value for value in row.ravel()) for row in image) + b"\n"
    else:
        content = image.astype("u1" if most < 256 else ">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes(header + content)
    same(tmp_path / "a.ppm", image, image.dtype.name + ("" if most in (255, 65535) else f" up to {most}"))
    (tmp_path / "a.ppm").write_bytes(header + content[: len(content) // 2])
    for look in (check_picture, read_picture):
        with pytest.raises(ImageReadError, match=r"a\.ppm is damaged"):
            look(tmp_path / "a.ppm")


@pytest.mark.parametrize("form", ["jp2", "j2k"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize(("bits", "kind"), [(4, "uint8"), (8, "uint8"), (12, "uint16"), (16, "uint16")])
def test_jpeg_2000_of_any_depth(tmp_path, bits, kind, samples, form):
    image = values((32, 40, samples), 2**bits - 1, kind)
    plane = image if samples > 1 else image[..., 0]
    options = {"level": 0, "reversible": True, "bitspersample": bits, "codecformat": form}
    (tmp_path / f"a.{form}").write_bytes(imagecodecs.jpeg2k_encode(plane, **options))
    same(tmp_path / f"a.{form}", image, "4-bit" if bits == 4 else None)
    if samples in (2, 4):  # nothing says that the last is opacity
        with pytest.raises(ImageReadError, match=rf"a\.{form} has {samples} channels.*unchanged to keep all"):
            read_picture(tmp_path / f"a.{form}")


def test_jpeg_2000_with_opacity_and_with_signs(tmp_path):
    image = values((16, 16, 4), 255, np.uint8)
    Image.fromarray(image).save(tmp_path / "a.jp2", irreversible=False)
    same(tmp_path / "a.jp2", image)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jp2"), image[..., :3])
    signed = values((16, 16, 1), 4000, np.int16) - np.int16(2000)
    (tmp_path / "b.jp2").write_bytes(imagecodecs.jpeg2k_encode(signed[..., 0], level=0, reversible=True))
    same(tmp_path / "b.jp2", signed)


def test_avif_of_10_bits_is_refused(tmp_path):
    image = values((16, 24, 3), 1023, np.uint16)
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(image, level=100, bitspersample=10))
    with pytest.raises(ImageReadError, match=r"a\.avif is AVIF with more than 8 bits per sample"):
        read_picture(tmp_path / "a.avif")
    (tmp_path / "b.avif").write_bytes(imagecodecs.avif_encode(image.astype(np.uint8), level=100))
    assert read_picture(tmp_path / "b.avif").dtype == np.uint8
