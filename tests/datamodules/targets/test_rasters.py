"""Mask rasters on any grid of the map: what is a class stays one, and what nobody knows does not count."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')

from rasterio.enums import ColorInterp  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from datamodules import SatelliteDataModule  # noqa: E402
from datamodules.readers import ImageReadError  # noqa: E402
from datamodules.readers.geotiff import HANDLES  # noqa: E402
from datamodules.targets import RasterMasks  # noqa: E402
from datamodules.windows import with_window  # noqa: E402

SIDE = 32


@pytest.fixture(autouse=True)
def _closed():
    yield
    HANDLES.close()


def write(path, array, pixel=10.0, left=5e5, top=5e6, colours=None, **more):
    array = array if array.ndim == 3 else array[None]
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, crs="EPSG:32633",
        transform=from_origin(left, top, pixel, pixel), **more,
    ) as file:  # fmt: skip
        if colours is not None:
            file.colorinterp = colours  # before the pixels, or a file of two bands does not keep it
        file.write(array)


def target_of(root, **settings):
    write(root / "a.tif", np.full((SIDE, SIDE), 90, np.uint8))
    target = RasterMasks("mask_{image_id}.tif", **settings)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    return target, SimpleNamespace(image_id="a", path=str(root / "a.tif"), weight=1.0)


def read(root, window=None, **settings):
    HANDLES.close()
    target, row = target_of(root, **settings)
    found = target.read(row if window is None else with_window(row, window), window[2:] if window else (SIDE, SIDE))
    valid = found.get("valid", np.ones(found["mask"].shape[-2:], bool))
    return np.squeeze(found["mask"]), valid


def patches(values, seed=0):
    """Values `(SIDE, SIDE)` in squares of 4 pixels."""
    drawn = np.random.default_rng(seed).choice(values, (SIDE // 4, SIDE // 4))
    return np.kron(drawn, np.ones((4, 4), drawn.dtype))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([1, 2]),
    st.sampled_from([None, 3]),
    st.sampled_from([None, 0, 1, 2, 7, 255, -9999]),
    st.sampled_from([255, -1, 0, 7, None]),
    st.integers(0, 10),
)
def test_one_rule_on_every_grid(tmp_path_factory, finer, classes, nodata, ignore, seed):
    """0 that is a class stays one, whatever the file calls no data; a tag that is no class does not count."""
    root = tmp_path_factory.mktemp("raster", numbered=True)
    known = [0, 1, 2] if classes else [0, 1]
    special = [v for v in (nodata, ignore) if v is not None and v not in known]
    values = patches(np.array([*known, *special], np.int16), seed)
    write(root / "mask_a.tif", np.kron(values, np.ones((finer, finer), np.int16)), 10 / finer, nodata=nodata)
    void = values == (255 if ignore is None and classes else ignore)
    void |= values == (nodata if nodata not in known else None)
    if classes is None and ignore is None and nodata == 255 and {1, 255} <= set(values.flat):
        with pytest.raises(ValueError, match=r"has values \[0, 1, 255\]"):  # where 255 is white, 1 cannot be
            read(root, ignore=None)
        return
    mask, valid = read(root, classes=classes, ignore=ignore)
    if classes is None and ignore is None and nodata == 255:
        void, values = np.zeros_like(void), (values > 0).astype(np.int16)
    np.testing.assert_array_equal(valid, ~void)
    np.testing.assert_array_equal(mask, np.where(void, 255 if classes else 0, values))
    part, seen = read(root, window=(5, 3, 20, 17), classes=classes, ignore=ignore)
    np.testing.assert_array_equal(part, mask[5:25, 3:20])
    np.testing.assert_array_equal(seen, valid[5:25, 3:20])


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_nothing_is_known_beyond_the_raster(tmp_path, classes, nodata):
    values = patches(np.array([0, 1], np.uint8))[:20, :24]
    write(tmp_path / "mask_a.tif", values, left=5e5 + 40, top=5e6 - 80, nodata=nodata)
    mask, valid = read(tmp_path, classes=classes)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[8:28, 4:28] = True
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_array_equal(mask[inside].reshape(20, 24), values)
    assert (mask[~inside] == (0 if classes is None else 255)).all()


def test_a_raster_elsewhere_on_the_map_is_refused(tmp_path):
    write(tmp_path / "mask_a.tif", np.ones((20, 20), np.uint8), left=6e5)
    with pytest.raises(ImageReadError, match=r"mask_a\.tif does not overlap its image 'a'"):
        read(tmp_path)
    with pytest.raises(ImageReadError, match="does not overlap"):
        read(tmp_path, window=(0, 0, 4, 4))


@pytest.mark.parametrize("kind", ["mask", "alpha", "nan"])
@pytest.mark.parametrize("finer", [1, 2])
def test_what_the_raster_calls_no_data_by_other_means(tmp_path, kind, finer):
    values = patches(np.array([0, 1], np.float32 if kind == "nan" else np.uint8))
    lacking = np.zeros((SIDE, SIDE), bool)
    lacking[4:12, 8:20] = True
    fine, gone = (np.kron(array, np.ones((finer, finer), array.dtype)) for array in (values, lacking))
    if kind == "nan":
        write(tmp_path / "mask_a.tif", np.where(gone, np.nan, fine).astype(np.float32), 10 / finer)
    elif kind == "alpha":
        array = np.stack([fine, np.where(gone, 0, 255).astype(np.uint8)])
        write(tmp_path / "mask_a.tif", array, 10 / finer, colours=[ColorInterp.gray, ColorInterp.alpha])
    else:
        write(tmp_path / "mask_a.tif", fine, 10 / finer)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "mask_a.tif", "r+") as file:
            file.write_mask(~gone)
    mask, valid = read(tmp_path)
    np.testing.assert_array_equal(valid, ~lacking)
    np.testing.assert_array_equal(mask, np.where(lacking, 0, values))


def test_white_masks(tmp_path):
    values = patches(np.array([0, 255], np.uint8))
    for nodata in (None, 0, 255):  # all values are classes
        write(tmp_path / "mask_a.tif", values, nodata=nodata)
        mask, valid = read(tmp_path, ignore=None)
        np.testing.assert_array_equal(mask, values > 0)
        assert valid.all()
    mask, valid = read(tmp_path)
    np.testing.assert_array_equal(valid, values == 0)


def test_a_set_of_white_masks_is_told_at_setup(tmp_path):
    write(tmp_path / "mask_a.tif", patches(np.array([0, 255], np.uint8)))
    _, row = target_of(tmp_path)
    settings = {"root": str(tmp_path), "images": "a.tif", "fold": "all", "num_workers": 0}
    with pytest.raises(ValueError, match=r"none of 1 masks has valid pixels of a class but 0, .*null"):
        SatelliteDataModule(targets=[RasterMasks("mask_{image_id}.tif")], **settings).setup("fit")
    SatelliteDataModule(targets=[RasterMasks("mask_{image_id}.tif", ignore=None)], **settings).setup("fit")


@pytest.mark.parametrize(
    ("compression", "cause"),
    [({"compress": "JPEG"}, "compressed by JPEG"), ({"compress": "WEBP", "WEBP_LEVEL": 50}, "compressed by WebP")],
)
def test_compression_that_loses_is_refused(tmp_path, compression, cause):
    values = np.stack([patches(np.array([0, 1, 2], np.uint8))] * 3)
    write(tmp_path / "mask_a.tif", values, **compression)
    with pytest.raises(ImageReadError, match=rf"mask_a\.tif is {cause}, which changes its values"):
        read(tmp_path, classes=3)


@pytest.mark.parametrize("compression", [{}, {"compress": "DEFLATE"}, {"compress": "WEBP", "WEBP_LOSSLESS": True}])
def test_compression_that_keeps_values(tmp_path, compression):
    values = np.stack([patches(np.array([0, 1, 2], np.uint8))] * 3)
    write(tmp_path / "mask_a.tif", values, **compression)
    np.testing.assert_array_equal(read(tmp_path, classes=3)[0], values[0])


def test_a_band_that_is_not_there(tmp_path):
    write(tmp_path / "mask_a.tif", np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(ImageReadError, match=r"mask_a\.tif has 1 bands, but target\.band is 2"):
        read(tmp_path, band=2)
