"""MetaImage files: written and read back, and read as other writers make them."""

import zlib

import numpy as np
import pytest

from preprocessing.metaimage import read_metaimage, read_metaimage_header, write_metaimage

AFFINE = np.array([[0.1, 0, -0.7, 40], [0, -0.8, 0, 25], [2.5, 0, 0.03, -300], [0, 0, 0, 1]], float)
KINDS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(tmp_path, kind, ending, compress):
    array = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(kind)
    path = tmp_path / f"volume{ending}"
    write_metaimage(path, array, AFFINE, compress)
    found, affine = read_metaimage(path)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, array)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-9)
    header = read_metaimage_header(path)
    assert header.size == (3, 4, 5)
    np.testing.assert_allclose(header.affine, AFFINE, atol=1e-9)
    assert not list(tmp_path.glob("*.tmp"))


def written(path, lines: str, content: bytes):
    path.write_bytes(lines.encode() + content)
    return path


def test_a_file_of_another_writer_with_big_endian_voxels_and_old_names(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    (tmp_path / "a.raw").write_bytes(b"skipped!" + array.astype(">i2").tobytes())
    lines = (
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementByteOrderMSB = True\n"
        "HeaderSize = 8\nPosition = 10 20 30\nElementSize = 0.5 0.6 2\nElementDataFile = a.raw\n"
    )
    found, affine = read_metaimage(written(tmp_path / "a.mhd", lines, b""))
    np.testing.assert_array_equal(found, array)
    # LPS of the file to RAS: the first two axes change sign.
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [-10, -20, 30, 1])
    np.testing.assert_allclose(affine @ [1, 1, 1, 1], [-10.5, -20.6, 32, 1])


def test_the_first_row_of_the_matrix_is_the_direction_of_x(tmp_path):
    lines = (
        "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nTransformMatrix = 0 1 0 0 0 1 1 0 0\n"
        "ElementSpacing = 2 3 5\nElementDataFile = LOCAL\n"
    )
    _, affine = read_metaimage(written(tmp_path / "a.mha", lines, bytes(24)))
    np.testing.assert_allclose(affine[:3, 2], [0, -2, 0])  # x runs along LPS y
    np.testing.assert_allclose(affine[:3, 1], [0, 0, 3])
    np.testing.assert_allclose(affine[:3, 0], [-5, 0, 0])


HEADER = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\n{}ElementDataFile = {}\n"


@pytest.mark.parametrize(
    ("lines", "content", "match"),
    [
        (HEADER.format("", "LOCAL"), bytes(23), "23 bytes of voxels, expected 24 for 2 x 3 x 4"),
        (HEADER.format("", "LOCAL"), bytes(25), "truncated or the header wrong"),
        (HEADER.format("CompressedData = True\n", "LOCAL"), b"no zlib at all", "damaged"),
        (HEADER.format("CompressedData = True\n", "LOCAL"), zlib.compress(bytes(1 << 20)), "25 bytes of voxels or"),
        (HEADER.format("CompressedData = True\n", "LOCAL"), zlib.compress(bytes(24))[:-9], "bytes of voxels"),
        (HEADER.format("", "../a.raw"), b"", "the name of a file in the same folder"),
        (HEADER.format("", "LIST"), b"", "several files"),
        (HEADER.format("ElementNumberOfChannels = 3\n", "LOCAL"), bytes(72), "3 channels"),
        (HEADER.format("ElementSpacing = 1 1\n", "LOCAL"), bytes(24), "ElementSpacing is '1 1', expected 3 numbers"),
        (HEADER.format("ElementSpacing = 1 0 1\n", "LOCAL"), bytes(24), "do not span a volume"),
        (HEADER.replace("NDims = 3", "NDims = 4").format("", "LOCAL"), bytes(24), "NDims is 4"),
        (HEADER.replace("UCHAR", "STRING").format("", "LOCAL"), bytes(24), "MET_STRING"),
        ("\x89PNG\r\n", b"", "is not a MetaImage"),
        ("", b"", "is not a MetaImage"),
    ],
)
def test_damaged_files_are_named(tmp_path, lines, content, match):
    path = written(tmp_path / "broken.mha", lines, content)
    with pytest.raises(ValueError, match=match) as error:
        read_metaimage(path)
    assert "broken.mha" in str(error.value)
