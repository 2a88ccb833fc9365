"""Where a raster holds data: nodata in the band's own type, masks of the file, alpha behind any number of bands."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')

import tifffile  # noqa: E402
from rasterio.enums import ColorInterp  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from datamodules.readers import GeoTiffReader, ImageReadError  # noqa: E402
from datamodules.readers.geotiff import HANDLES  # noqa: E402
from datamodules.readers.geotiff_data import held, resampled_data  # noqa: E402
from datamodules.windows import with_window  # noqa: E402

COLOURS = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, *[ColorInterp.undefined] * 4]
TYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64]
VALUES = [-9999, -1, 0, 0.5, 241, 255, 256, 55537, 65535, 2**31, 2**32, 1e39, -3.4028234663852886e38, math.inf]


@pytest.fixture(autouse=True)
def _closed():
    yield
    HANDLES.close()


def write(path, array, pixel=10, colours=None, **more):
    array = array if array.ndim == 3 else array[None]
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, pixel, pixel), **more,
    ) as file:  # fmt: skip
        if colours is not None:
            file.colorinterp = colours  # before the pixels, or a file of two bands does not keep it
        file.write(array)
    return path


def row(path, **more):
    return SimpleNamespace(image_id="a", path=str(path), **more)


def read(path, window=None, extra=(), **settings):
    one = row(path, extra=list(map(str, extra)))
    return GeoTiffReader(**settings).read_with_valid(one if window is None else with_window(one, window))


@given(st.sampled_from(TYPES), st.sampled_from(VALUES))
def test_a_value_is_held_or_means_nothing(dtype, value):
    found = held(value, dtype)
    if np.dtype(dtype).kind in "iu":
        # Python compares numbers exactly, whatever their types.
        inside = np.iinfo(dtype).min <= value <= np.iinfo(dtype).max and value == value // 1
        assert (found is not None and int(found) == value) if inside else found is None
    else:
        with np.errstate(over="ignore"):
            assert (found == dtype(value)) if np.isfinite(dtype(value)) else found is None


@pytest.mark.parametrize("value", [-9999, -1, 256, 241, 0, 0.5])
@pytest.mark.parametrize("tagged", [False, True])
def test_nodata_removes_the_pixels_of_that_value_alone(tmp_path, value, tagged):
    """As argument of the reader, and as the file's own tag, which GDAL reads but would not write."""
    picture = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    path = tmp_path / "a.tif"
    tag = [(42113, "s", 0, str(value), True)] if tagged else []
    tifffile.imwrite(path, picture, extratags=tag)
    image, valid = read(path, fill=7, **({} if tagged else {"nodata": value}))
    counted = picture != value
    np.testing.assert_array_equal(image[..., 0], np.where(counted, picture, 7))
    np.testing.assert_array_equal(np.ones_like(counted) if valid is None else valid, counted)


def test_each_file_is_asked_by_its_own_type(tmp_path):
    """−9999 of a float DEM beside a picture of bytes; the tag of the picture holds where the argument cannot."""
    picture = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    dem = np.full((256, 256), 300, np.float32)
    dem[:8] = -9999
    write(tmp_path / "a.tif", picture, nodata=3)
    write(tmp_path / "dem.tif", dem)
    image, valid = read(tmp_path / "a.tif", extra=[tmp_path / "dem.tif"], nodata=-9999, valid="all")
    np.testing.assert_array_equal(image[..., 0], np.where(picture == 3, 0, picture))
    np.testing.assert_array_equal(valid, (picture != 3) & (dem > 0))
    assert image[..., 1].min() == 0


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("sides", [(20, 20), (77, 45)])
def test_no_data_is_not_mixed_into_resampled_bands(tmp_path, sides, resampling):
    """GDAL leaves out its own nodata where it resamples, but does not know the reader's."""
    write(tmp_path / "a.tif", np.full((40, 40), 9, np.uint8))
    dem = np.full(sides, 300, np.float32)
    dem[: sides[0] // 3, : sides[1] // 2] = -9999
    write(tmp_path / "dem.tif", dem)
    image, valid = read(
        tmp_path / "a.tif", extra=[tmp_path / "dem.tif"], nodata=-9999, valid="all", fill=0, resampling=resampling
    )
    np.testing.assert_allclose(image[valid][:, 1], 300, rtol=1e-5)
    assert set(np.unique(image[~valid][:, 1])) <= {0}
    assert 0.6 < valid.mean() < 1 - 1 / 6 + 0.02


def test_resampled_data_of_a_single_hole():
    known = np.ones((9, 9), bool)
    known[4, 4] = False
    np.testing.assert_array_equal(resampled_data(known, (9, 9), "nearest"), known)
    assert (~resampled_data(known, (9, 9), "bilinear")).sum() == 9
    assert (~resampled_data(known, (3, 3), "nearest")).sum() == 1
    assert not resampled_data(known, (3, 3), "cubic").any()


@pytest.mark.parametrize(("dtype", "fill"), [(np.uint8, -1), (np.uint8, 256), (np.int16, 0.5), (np.uint16, math.nan)])
def test_a_fill_that_the_type_cannot_hold_is_refused(tmp_path, dtype, fill):
    array = np.arange(16, dtype=dtype).reshape(4, 4)
    write(tmp_path / "a.tif", array, nodata=3)
    with pytest.raises(ValueError, match=r"a\.tif is \w+, which cannot represent reader\.fill"):
        read(tmp_path / "a.tif", fill=fill)
    with pytest.raises(ValueError, match=r"reader\.fill"):
        read(tmp_path / "a.tif", window=(-2, 0, 4, 4), fill=fill)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_behind_any_number_of_bands(tmp_path, bands, dtype):
    alpha = np.full((32, 32), np.iinfo(dtype).max, dtype)
    alpha[:8] = 0
    alpha[8, :4] = 1  # almost transparent is not transparent
    array = np.stack([*[np.full((32, 32), 90, dtype)] * bands, alpha])
    colours = [*(COLOURS[:bands] if bands > 1 else [ColorInterp.gray]), ColorInterp.alpha]
    path = write(tmp_path / "a.tif", array, colours=colours)
    wanted = list(range(1, bands + 1))
    for settings in ({"bands": wanted}, {"alpha": bands + 1}, {"bands": wanted, "alpha": bands + 1}):
        image, valid = read(path, **settings)
        assert image.shape == (32, 32, bands)
        np.testing.assert_array_equal(valid, alpha > 0)
        np.testing.assert_array_equal(image[..., 0], np.where(alpha > 0, 90, 0))
        np.testing.assert_array_equal(read(path, window=(4, 3, 9, 11), **settings)[1], alpha[4:13, 3:14] > 0)
        np.testing.assert_array_equal(GeoTiffReader(**settings).known(row(path)), alpha > 0)
    assert read(path, bands=wanted, alpha="none")[1] is None
    image, valid = read(path)  # all bands were asked for, and this one is data
    assert valid is None
    assert image.shape[2] == bands + 1
    with pytest.raises(ImageReadError, match=r"a\.tif has no band 9, only"):
        read(path, alpha=9)
    with pytest.raises(ImageReadError, match="check reader.alpha"):
        GeoTiffReader(alpha=9).pixels(row(path))  # by the header, before training


def test_a_number_of_a_band_among_files_of_one_band_each(tmp_path):
    write(tmp_path / "red.tif", np.ones((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"is one file per band, so reader\.alpha 2 has no effect"):
        read(tmp_path / "{band}.tif", bands=["red"], alpha=2)


def test_an_untagged_band_is_alpha_where_its_number_says_so(tmp_path):
    array = np.full((5, 16, 16), 90, np.uint8)
    array[4, :4] = 0
    path = write(tmp_path / "a.tif", array, colours=COLOURS[:5])
    assert read(path)[1] is None
    image, valid = read(path, alpha=5)
    assert image.shape[2] == 4
    np.testing.assert_array_equal(valid, array[4] > 0)


def test_near_infrared_that_is_tagged_as_alpha(tmp_path):
    array = np.full((4, 16, 16), 90, np.uint8)
    array[3, :4] = 0  # water
    path = write(tmp_path / "a.tif", array, colours=[*COLOURS[:3], ColorInterp.alpha])
    assert read(path, bands=[1, 2, 3, 4])[1] is None
    assert read(path)[1] is None
    assert read(path, bands=[1, 2, 3], alpha="none")[1] is None
    np.testing.assert_array_equal(read(path, bands=[1, 2, 3])[1], array[3] > 0)  # by the tag


def test_real_tiles_keep_their_near_infrared(competition_data):
    paths = sorted((competition_data / "sat_naip").rglob("img/*.tif"))[:4]
    if not paths:
        pytest.skip("sat_naip is not there")
    for path in paths:
        for settings in ({}, {"bands": [1, 2, 3, 4]}, {"bands": [1, 2, 3], "alpha": "none"}):
            assert read(path, **settings)[1] is None


@pytest.mark.parametrize("kind", ["nodata", "float", "mask", "alpha", "whole"])
def test_known_is_what_reading_says(tmp_path, kind, monkeypatch):
    """Strip by strip, so that no scene is in memory whole; and no pixel is read where the header tells enough."""
    monkeypatch.setattr("datamodules.readers.geotiff.STRIP", 100)
    array = np.random.default_rng(0).integers(0, 4, (2, 30, 20)).astype(np.float32 if kind == "float" else np.uint8)
    if kind == "float":
        array[array == 0] = np.nan
    more = {"nodata": {"nodata": 0}, "alpha": {"colours": [ColorInterp.gray, ColorInterp.alpha]}}.get(kind, {})
    path = write(tmp_path / "a.tif", array, **more)
    if kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            file.write_mask(array[0] > 0)
    reader, one = GeoTiffReader(bands=[1]), row(path)
    for each in (one, with_window(one, (3, 2, 20, 9)), with_window(one, (-3, 2, 20, 30))):
        valid, known = reader.read_with_valid(each)[1], reader.known(each)
        assert (valid is None) == (known is None)
        if valid is not None:
            np.testing.assert_array_equal(known, valid)
    if kind == "whole":
        monkeypatch.setattr(GeoTiffReader, "read_with_valid", None)
        assert reader.known(one) is None
