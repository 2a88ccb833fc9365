"""Rasters of every type keep their values; what GDAL would leave out is refused by name."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from datamodules.readers import GeoTiffReader, ImageReadError
from datamodules.readers.geotiff import HANDLES

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
KINDS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@pytest.fixture(autouse=True)
def closed():
    yield
    HANDLES.close()


def write(path, bands, **options):
    count, height, width = bands.shape
    options = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype.name} | options
    with rasterio.open(path, "w", **options) as file:
        file.write(bands)
    return SimpleNamespace(image_id="a", path=str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_read_exactly(tmp_path, kind):
    random = np.random.default_rng(0)
    if np.dtype(kind).kind == "f":
        bands = random.normal(0, 1e9, (3, 16, 20)).astype(kind)
    else:
        ends = np.iinfo(kind)
        bands = random.integers(ends.min, ends.max, (3, 16, 20), dtype=kind, endpoint=True)
    row, reader = write(tmp_path / "a.tif", bands), GeoTiffReader()
    image, valid = reader.read_with_valid(row)
    assert image.dtype == bands.dtype
    assert valid is None
    np.testing.assert_array_equal(image, bands.transpose(1, 2, 0))
    assert reader.pixels(row) == (kind, 3)


def test_a_palette_is_read_as_its_numbers(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 4, (1, 16, 20), np.uint8)
    row = write(tmp_path / "a.tif", numbers, photometric="palette")
    np.testing.assert_array_equal(GeoTiffReader().read(row)[..., 0], numbers[0])


def test_files_of_several_types_become_one_that_holds_both(tmp_path):
    random = np.random.default_rng(0)
    one = random.integers(-9, 9, (2, 16, 20)).astype(np.int16)
    other = random.integers(40_000, 60_000, (1, 16, 20)).astype(np.uint16)
    row = write(tmp_path / "a.tif", one)
    write(tmp_path / "b.tif", other)
    row.extra = [str(tmp_path / "b.tif")]
    np.testing.assert_array_equal(GeoTiffReader().read(row), np.concatenate([one, other]).transpose(1, 2, 0))
    assert GeoTiffReader().pixels(row) == ("int32", 3)


@pytest.mark.parametrize("kind", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path, kind):
    row = write(tmp_path / "a.tif", np.zeros((1, 16, 20), np.complex64), dtype=kind)
    for look in (GeoTiffReader().size, GeoTiffReader().read):
        with pytest.raises(ImageReadError, match=r"a\.tif contains complex numbers"):
            look(row)


@pytest.mark.parametrize("imagej", [False, True])
def test_more_than_one_page_is_refused(tmp_path, imagej):
    """GDAL opens the first, and says nothing."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 16, 20), np.uint8), photometric="minisblack", imagej=imagej)
    with pytest.raises(ImageReadError, match=r"a\.tif contains 3 rasters.*gdal_translate GTIFF_DIR:1:"):
        GeoTiffReader().read(SimpleNamespace(image_id="a", path=str(path)))


def test_overviews_and_masks_are_no_pages(tmp_path):
    bands = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    row = write(tmp_path / "a.tif", bands, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(row.path, "r+") as file:
        file.build_overviews([2, 4])
    np.testing.assert_array_equal(GeoTiffReader().read(row), bands.transpose(1, 2, 0))
