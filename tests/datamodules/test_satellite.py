"""GeoTIFF scenes: bands, data that is missing, windows, masks and polygons on the map, folds by place."""

import json
import pickle
import resource
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')
pytest.importorskip("shapely", reason='needs the extra: pip install -e ".[satellite]"')

from rasterio import warp  # noqa: E402
from rasterio.crs import CRS  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from datamodules import SatelliteDataModule  # noqa: E402
from datamodules.plain.satellite import neighbours, touching  # noqa: E402
from datamodules.readers import GeoTiffReader, ImageReader, ImageReadError  # noqa: E402
from datamodules.readers.geotiff import HANDLES  # noqa: E402
from datamodules.targets import Polygons, RasterMasks  # noqa: E402
from datamodules.windows import GridWindows, RandomWindows, with_window  # noqa: E402
from evaluation.cross_validation import CrossValidation  # noqa: E402
from evaluation.folds import make_folds  # noqa: E402
from preprocessing.patches import grid_patches  # noqa: E402

UTM = "EPSG:32616"


@pytest.fixture(autouse=True)
def _closed():
    yield
    HANDLES.close()


def write(path, array, crs=UTM, left=500_000.0, top=4_000_000.0, pixel=2.0, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": array.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=from_origin(left, top, pixel, pixel), **more) as target:
        target.write(array)
    return path


def row(path, image_id="a", **more):
    return SimpleNamespace(image_id=image_id, path=str(path), weight=1.0, **more)


def noise(bands, height, width, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(1, 200, (bands, height, width)).astype(dtype)


def test_bands_by_number_and_by_name(tmp_path):
    array = noise(4, 20, 30)
    path = write(tmp_path / "a.tif", array)
    with rasterio.open(path, "r+") as target:
        colours = rasterio.enums.ColorInterp
        target.colorinterp = [colours.blue, colours.green, colours.red, colours.undefined]
        target.descriptions = (None, None, None, "NIR")
    HANDLES.close()
    np.testing.assert_array_equal(GeoTiffReader().read(row(path)), array.transpose(1, 2, 0))
    picked = GeoTiffReader(bands=["red", "green", "blue", "nir"]).read(row(path))
    np.testing.assert_array_equal(picked, array[[2, 1, 0, 3]].transpose(1, 2, 0))
    np.testing.assert_array_equal(GeoTiffReader(bands=[4, 1]).read(row(path)), array[[3, 0]].transpose(1, 2, 0))
    for band in ("swir", 5):
        with pytest.raises(ImageReadError, match=f"a.tif has no band {band!r}: 4 bands, .*set reader.bands"):
            GeoTiffReader(bands=[band]).read(row(path))


@pytest.mark.parametrize(("nodata", "dtype"), [(-9999, np.int16), (float("nan"), np.float32), (0, np.uint8)])
def test_pixels_without_data_do_not_count(nodata, dtype, tmp_path):
    array = noise(2, 16, 16, np.uint8).astype(dtype)
    array[:, :4] = nodata
    array[0, 10, 10] = nodata
    reader = GeoTiffReader()
    image, valid = reader.read_with_valid(row(write(tmp_path / "a.tif", array, nodata=nodata)))
    assert image.dtype == dtype
    assert (image[:4] == 0).all()
    assert image[10, 10, 0] == 0
    expected = np.ones((16, 16), bool)
    expected[:4] = False
    np.testing.assert_array_equal(valid, expected)
    strict = GeoTiffReader(valid="all").read_with_valid(row(tmp_path / "a.tif"))[1]
    expected[10, 10] = False
    np.testing.assert_array_equal(strict, expected)
    assert (reader.read_with_valid(row(tmp_path / "a.tif", window=(6, 0, 4, 16)))[1]) is None
    full = GeoTiffReader(nodata=7).read_with_valid(row(write(tmp_path / "b.tif", np.full((1, 4, 4), 7, np.uint8))))
    assert not full[1].any()


def test_near_infrared_that_is_tagged_as_transparency(tmp_path):
    array = noise(4, 8, 8, np.uint8)
    array[3, :4] = 0
    path = write(tmp_path / "a.tif", array, photometric="RGB", alpha="YES")
    with rasterio.open(path) as source:
        assert source.colorinterp[3].name == "alpha"
    image, valid = GeoTiffReader(bands=[1, 2, 3, 4]).read_with_valid(row(path))
    assert valid is None
    np.testing.assert_array_equal(image[..., 3], array[3])
    # Without it, the band says where there is data.
    assert (GeoTiffReader(bands=[1, 2, 3]).read_with_valid(row(path))[1] == (array[3] > 0)).all()


def test_windows_equal_the_cut_of_the_whole(tmp_path):
    array = noise(3, 40, 50)
    path = write(tmp_path / "a.tif", array, tiled=True, blockxsize=16, blockysize=16)
    window = with_window(row(path), (5, 7, 20, 31))
    np.testing.assert_array_equal(GeoTiffReader().read(window), array[:, 5:25, 7:38].transpose(1, 2, 0))
    with pytest.raises(ImageReadError, match="40 x 50 pixels, more than reader.max_pixels 1000"):
        GeoTiffReader(max_pixels=1000).read(row(path))
    assert GeoTiffReader(max_pixels=1000).read(window).shape == (20, 31, 3)


def test_one_file_per_band_and_files_of_other_sizes(tmp_path):
    small = noise(2, 10, 10)
    for name, value in (("red", 10), ("nir", 20)):
        write(tmp_path / f"train_{name}/{name}_patch_1.tif", np.full((1, 20, 20), value, np.uint16))
    write(tmp_path / "more/patch_1.tif", small, pixel=4.0)
    data = SatelliteDataModule(
        root=str(tmp_path),
        images="train_{band}/{band}_patch_*.tif",
        extra=["more/{image_id}.tif"],
        reader=GeoTiffReader(bands=["nir", "red"], resampling="nearest"),
        targets=[],
    )
    table = data.table()
    assert table["image_id"].tolist() == ["patch_1"]
    image = data.reader.read(row(table["path"][0], "patch_1", extra=table["extra"][0]))
    assert image.shape == (20, 20, 4)
    assert image[0, 0, :2].tolist() == [20, 10]
    np.testing.assert_array_equal(image[..., 2:], small.transpose(1, 2, 0).repeat(2, 0).repeat(2, 1))
    cut = data.reader.read(row(table["path"][0], "patch_1", extra=table["extra"][0], window=(4, 6, 8, 10)))
    np.testing.assert_array_equal(cut, image[4:12, 6:16])
    (tmp_path / "train_red/red_patch_1.tif").unlink()
    with pytest.raises(FileNotFoundError, match="1 images lack a channel \\(first: 'patch_1'\\): missing .*red_p"):
        data.table()


def test_damaged_files_are_named_with_the_window(tmp_path, competition_data):
    path = write(tmp_path / "a.tif", noise(3, 64, 64), tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageReadError, match="a.tif"):
        GeoTiffReader().read(row(path))
    corner = competition_data / "geotiff_corner"
    with pytest.raises(ImageReadError, match="corrupt.tif, columns 0 to 1024, rows 0 to 1024: .*failed"):
        GeoTiffReader().read(row(corner / "corrupt.tif"))
    (tmp_path / "page.tif").write_text("<html>not found</html>")
    with pytest.raises(ImageReadError, match="page.tif is not a raster"):
        GeoTiffReader().read(row(tmp_path / "page.tif"))
    (tmp_path / "none.tif").touch()
    with pytest.raises(ImageReadError, match="none.tif is empty"):
        GeoTiffReader().read(row(tmp_path / "none.tif"))


def test_real_corner_cases_are_read_or_refused(competition_data):
    shares = {}
    for path in sorted((competition_data / "geotiff_corner").glob("*.tif")):
        if path.name == "corrupt.tif":
            continue
        image, valid = GeoTiffReader().read_with_valid(row(path))
        assert image.ndim == 3
        assert np.isfinite(image.astype(np.float64)).all(), path
        assert not (image.dtype.kind == "f" and image.min() < -1e30), path
        shares[path.stem] = 1.0 if valid is None else valid.mean()
    assert shares["all-nodata"] == 0
    assert shares["float_nan"] == pytest.approx(5 / 6)
    assert 0.67 < shares["RGB.byte"] < 0.68
    assert shares["RGB2.byte"] == pytest.approx(shares["RGB.byte"], abs=0.002)  # a .msk file beside it


def test_a_reader_with_open_files_goes_to_another_process(tmp_path):
    path = write(tmp_path / "a.tif", noise(1, 8, 8))
    reader = GeoTiffReader()
    expected = reader.read(row(path))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).read(row(path)), expected)


# --- truth -----------------------------------------------------------------------------------------------------------


def test_masks_on_another_grid_are_laid_upon_the_image(tmp_path):
    image = write(tmp_path / "a.tif", noise(1, 40, 40))
    coarse = np.zeros((1, 30, 30), np.uint8)
    coarse[0, 5:15, 10:20] = 3
    table = pd.DataFrame({"image_id": ["a"]})
    # Half the resolution, begun 20 m further north and west.
    write(tmp_path / "masks/a.tif", coarse, left=499_980.0, top=4_000_020.0, pixel=4.0)
    target = RasterMasks("masks/{image_id}.tif", classes=4)
    target.prepare(table, tmp_path)
    mask = target.read(row(image), (40, 40))["mask"]
    expected = np.zeros((40, 40), np.int64)
    expected[0:20, 10:30] = 3
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(
        target.read(with_window(row(image), (3, 4, 9, 8)), (9, 8))["mask"], expected[3:12, 4:12]
    )
    # Another reference system: the same place within a pixel.
    with rasterio.open(tmp_path / "masks/a.tif") as source:
        data, transform, crs = source.read(), source.transform, source.crs
    moved, where = warp.reproject(
        data,
        src_crs=crs,
        src_transform=transform,
        dst_crs=CRS.from_epsg(3857),
        resampling=rasterio.enums.Resampling.nearest,
    )
    write(tmp_path / "masks/a.tif", moved, crs="EPSG:3857")
    with rasterio.open(tmp_path / "masks/a.tif", "r+") as source:
        source.transform = where
    HANDLES.close()
    assert (target.read(row(image), (40, 40))["mask"] != expected).mean() < 0.1


def test_ignored_values_and_classes_out_of_range(tmp_path):
    image = write(tmp_path / "a.tif", noise(1, 8, 8))
    labels = np.zeros((1, 8, 8), np.int16)
    labels[0, 0], labels[0, 1] = -1, 1
    write(tmp_path / "masks/a.tif", labels)
    table = pd.DataFrame({"image_id": ["a"]})
    target = RasterMasks("masks/{image_id}.tif", ignore=-1)
    target.prepare(table, tmp_path)
    found = target.read(row(image), (8, 8))
    assert found["mask"].sum() == 8
    np.testing.assert_array_equal(found["valid"], labels[0] >= 0)
    classes = RasterMasks("masks/{image_id}.tif", classes=2, ignore=-1)
    classes.prepare(table, tmp_path)
    assert set(np.unique(classes.read(row(image), (8, 8))["mask"])) == {0, 1, 255}
    strict = RasterMasks("masks/{image_id}.tif", classes=2)
    strict.prepare(table, tmp_path)
    with pytest.raises(ValueError, match="has class -1, expected 0 to 1"):
        strict.read(row(image), (8, 8))


def collection(polygons, crs=None, **properties):
    features = [
        {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring in polygons
    ]
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    return json.dumps({"type": "FeatureCollection", **member, "features": features})


def test_polygons_in_any_reference_system_give_one_mask(tmp_path):
    image = write(tmp_path / "a.tif", noise(1, 40, 40), pixel=2.0)
    ring = [
        (500_010, 3_999_980),
        (500_050, 3_999_980),
        (500_050, 3_999_950),
        (500_010, 3_999_950),
        (500_010, 3_999_980),
    ]
    expected = np.zeros((40, 40), np.uint8)
    expected[10:25, 5:25] = 1
    (tmp_path / "geo").mkdir()
    table = pd.DataFrame({"image_id": ["a"]})
    with pytest.raises(FileNotFoundError, match=r"1 of 1 images have no polygons; the first is 'a': no file .*geojson"):
        Polygons(geojson="geo/{image_id}.geojson").prepare(table, tmp_path)
    degrees = warp.transform(UTM, "OGC:CRS84", *zip(*ring, strict=True))
    for text in (
        collection([ring], "urn:ogc:def:crs:EPSG::32616"),
        collection([list(zip(*degrees, strict=True))]),  # none named: longitude and latitude
        collection([ring]),  # none named and no degrees: the image's own
    ):
        (tmp_path / "geo/a.geojson").write_text(text)
        target = Polygons(geojson="geo/{image_id}.geojson")
        target.prepare(table, tmp_path)
        np.testing.assert_array_equal(target.read(row(image), (40, 40))["mask"][0], expected)
    cut = target.read(with_window(row(image), (8, 3, 10, 12)), (10, 12))["mask"][0]
    np.testing.assert_array_equal(cut, expected[8:18, 3:15])
    (tmp_path / "geo/a.geojson").write_text("")
    target = Polygons(geojson="geo/{image_id}.geojson", instances=True)
    target.prepare(table, tmp_path)
    assert target.read(row(image), (40, 40))["instances"].max() == 0
    (tmp_path / "geo/a.geojson").write_text("{}")
    with pytest.raises(ValueError, match="a.geojson is not a GeoJSON"):
        target.polygons(row(image))


@pytest.mark.parametrize("instances", [False, True])
def test_rings_without_area_draw_nothing(tmp_path, instances):
    """One, two and three points on a line, and a spike on a square: from files that no tool has checked."""
    image = write(tmp_path / "a.tif", noise(1, 40, 40), pixel=2.0)
    corner = np.array([500_000, 4_000_000])  # of the picture; 2 m per pixel, y upwards

    def ring(*pixels):
        return (corner + np.array(pixels) * (2, -2)).tolist()

    square = ring((10, 10), (30, 10), (36, 10), (30, 10), (30, 30), (10, 30), (10, 10))
    rings = [ring((2.5, 3.5)), ring((2.5, 3.5), (30.5, 3.5)), ring((2.5, 5.5), (9.5, 5.5), (20.5, 5.5)), square]
    (tmp_path / "a.geojson").write_text(collection(rings, "urn:ogc:def:crs:EPSG::32616"))
    target = Polygons(geojson="{image_id}.geojson", instances=instances)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    found = np.squeeze(target.read(row(image), (40, 40))[target.name])
    assert np.count_nonzero(found) == np.count_nonzero(found[10:30, 10:30]) == 400


def test_polygons_as_text_in_pixels_and_in_dstl_grid(tmp_path):
    image = write(tmp_path / "a.tif", noise(1, 40, 40))
    (tmp_path / "wkt.csv").write_text(
        'ImageId,Kind,PolygonWKT_Pix\na,1,"POLYGON ((5 10 0, 25 10 0, 25 25 0, 5 25 0, 5 10 0))"\na,2,POLYGON EMPTY\n'
    )
    target = Polygons(csv="wkt.csv", class_key="Kind", classes=["2", "1"])
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    mask = target.read(row(image), (40, 40))["mask"]
    assert mask.shape == (2, 40, 40)
    assert mask[0].sum() == 0
    assert mask[1].sum() == mask[1, 10:25, 5:25].sum() == 300
    xmax, ymin = 0.009, -0.009
    wide = 40 * 40 / 41
    ring = ", ".join(f"{x / wide * xmax} {y / wide * ymin}" for x, y in [(5, 10), (25, 10), (25, 25), (5, 25), (5, 10)])
    (tmp_path / "train_wkt_v4.csv").write_text(f'ImageId,ClassType,MultipolygonWKT\na,1,"MULTIPOLYGON ((({ring})))"\n')
    (tmp_path / "grid_sizes.csv").write_text(f",Xmax,Ymin\na,{xmax},{ymin}\n")
    target = Polygons(
        csv="train_wkt_v4.csv",
        wkt_column="MultipolygonWKT",
        coordinates="grid",
        grid_sizes="grid_sizes.csv",
        class_key="ClassType",
        classes=["1"],
    )
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    assert abs(int(target.read(row(image), (40, 40))["mask"][0, 10:25, 5:25].sum()) - 300) <= 40


def test_real_footprints_lie_on_the_chip(competition_data):
    folder = competition_data / "sat_spacenet"
    chip = row(folder / "sample_geotiff.tif", "sample_geotiff")
    target = Polygons(geojson="geotiff_labels.geojson", instances=True)
    target.prepare(pd.DataFrame({"image_id": ["sample_geotiff"]}), folder)
    labels = target.read(chip, (900, 900))["instances"]
    assert len(np.unique(labels)) == 44
    cut = target.read(with_window(chip, (300, 200, 256, 300)), (256, 300))["instances"]
    np.testing.assert_array_equal(cut, labels[300:556, 200:500])
    # Edges of the picture lie where the outlines are, and nowhere around them.
    image = GeoTiffReader().read(chip)[..., 0].astype(np.float32)
    slope = np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1))
    outline = cv2.morphologyEx((labels > 0).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    for shift in ((12, 0), (0, 12), (-12, 0), (0, -12), (25, 25)):
        assert slope[outline].mean() > 1.1 * slope[np.roll(outline, shift, (0, 1))].mean()


# --- windows ---------------------------------------------------------------------------------------------------------


def scenes(tmp_path, count=3, side=200):
    masks = []
    for number in range(count):
        write(tmp_path / f"img/s{number}.tif", noise(2, side, side + 40 * number, seed=number))
        mask = np.zeros((1, side, side + 40 * number), np.uint8)
        mask[0, 30:50, 60:75] = number < 2  # the last scene is empty
        write(tmp_path / f"mask/s{number}.tif", mask)
        masks.append(mask)
    return masks


def satellite(tmp_path, **more):
    settings = {"root": str(tmp_path), "images": "img/*.tif", "targets": [RasterMasks("mask/{image_id}.tif")]}
    return SatelliteDataModule(**settings | {"num_workers": 0, "fold": "all", "batch_size": 4} | more)


def test_random_windows_stay_inside_and_keep_the_share_of_foreground(tmp_path):
    masks = scenes(tmp_path)
    size, draws = 48, 600
    for positive in (0.3, 0.8):
        data = satellite(tmp_path, windows=RandomWindows(size, positive=positive))
        data.setup("fit")
        windows = data.train_dataloader().dataset.windows
        random, hits, drawn = np.random.default_rng(0), 0, 0
        for number in range(draws):
            index, drawn_row = windows.row(number % len(windows), random)
            top, left, height, width = drawn_row.window
            assert (height, width) == (size, size)
            assert top >= 0 <= left
            assert top + height <= masks[index].shape[1]
            assert left + width <= masks[index].shape[2]
            if index < 2:
                drawn += 1
                hits += bool(masks[index][0, top : top + size, left : left + size].any())
        # Foreground is known in squares of 32 pixels: a few windows touch a square and not what lies in it.
        assert abs(hits / drawn - positive) < 3 * np.sqrt(positive * (1 - positive) / drawn) + 0.02


def test_training_samples_are_windows_and_repeat_with_the_seed(tmp_path):
    masks = scenes(tmp_path)
    for settings in ({}, {"cache": "ram"}):
        data = satellite(tmp_path, windows=RandomWindows(64, positive=0.5), **settings)
        data.setup("fit")
        batches = list(data.train_dataloader())
        again = list(data.train_dataloader())
        for batch, other in zip(batches, again, strict=True):
            assert batch["image"].shape[1:] == (2, 64, 64)
            assert (batch["image"] == other["image"]).all()
            assert batch["mask"].shape[1:] == (1, 64, 64)
        assert any(batch["mask"].any() for batch in batches)
        # By area: about as many windows as would cover the scenes.
        drawn = sum(len(batch["image_id"]) for batch in batches)
        assert abs(drawn - sum(mask[0].size for mask in masks) / 64**2) <= 3


def test_a_grid_covers_every_pixel(tmp_path):
    for height, width, overlap in ((200, 240, 0.0), (130, 64, 0.5), (50, 300, 0.25)):
        seen = np.zeros((height, width), int)
        for top, left, rows, columns in grid_patches((height, width), 64, overlap):
            assert top + rows <= height
            assert left + columns <= width
            seen[top : top + rows, left : left + columns] += 1
        assert seen.min() >= 1
    scenes(tmp_path)
    data = satellite(tmp_path, windows=GridWindows(100, 0.2), batch_size=1)
    data.setup("fit")
    assert len(data.train_dataloader().dataset) == 9 + 9 + 12


# --- places ----------------------------------------------------------------------------------------------------------


def test_touching_images_share_a_group_and_never_two_folds(tmp_path):
    places = [(0, 0), (20, 0), (40, 0), (100, 0), (120, 20), (300, 300), (500, 0), (700, 0)]
    for number, (east, north) in enumerate(places):
        write(tmp_path / f"img/t{number}.tif", noise(1, 10, 10, seed=number), left=500_000.0 + east, top=4e6 + north)
        write(tmp_path / f"mask/t{number}.tif", np.zeros((1, 10, 10), np.uint8))
    data = satellite(tmp_path, block=250.0)
    table = data.fold_table(CrossValidation(k=3, group="place"))
    names = table["place"].tolist()
    assert names[0] == names[1] == names[2]  # a chain: 0 touches 1, 1 touches 2
    assert names[3] == names[4]  # corner to corner
    assert len(set(names)) == 5
    folds = make_folds(table, CrossValidation(k=3, group="place"))
    assert folds.groupby(table["place"])["fold"].nunique().max() == 1
    blocks = data.fold_table(CrossValidation(k=2, group="block"))["block"]
    assert blocks.nunique() > 1
    assert blocks[1] == blocks[2] == blocks[3] != blocks[6]
    with pytest.raises(ValueError, match="set data.block"):
        satellite(tmp_path).fold_table(CrossValidation(k=2, group="block"))


def test_the_authors_own_split_says_what_leaks(competition_data):
    settings = {"images": "train/img/tile_{image_id}.tif", "val_images": "val/img/tile_{image_id}.tif"}
    data = SatelliteDataModule(root=str(competition_data / "sat_naip"), targets=[], fold="given", **settings)
    with pytest.warns(UserWarning, match="107 pairs of touching images are on different sides; the score will be"):
        val = data.split_table("val")
    assert (len(data.split_table("train")), len(val)) == (129, 43)
    footprints = data._footprints(data.table())
    assert len(set(touching(footprints))) < 172
    boxes = np.array([footprint[1:5] for footprint in footprints])
    near = [  # by the definition, every pair
        (one, other)
        for one in range(172)
        for other in range(one + 1, 172)
        if (boxes[one, :2] <= boxes[other, 2:] + 0.3).all() and (boxes[other, :2] <= boxes[one, 2:] + 0.3).all()
    ]
    assert neighbours(footprints) == near


def test_a_small_file_of_many_pixels_is_refused_by_its_header(tmp_path):
    """60,000 x 60,000 pixels in some kilobytes, and 3.6 GB once read."""
    with rasterio.open(
        tmp_path / "bomb.tif", "w", driver="GTiff", height=60_000, width=60_000, count=1, dtype="uint8",
        tiled=True, blockxsize=4096, blockysize=4096, compress="deflate", SPARSE_OK=True,
    ):  # fmt: skip
        pass
    assert (tmp_path / "bomb.tif").stat().st_size < 100_000
    message = "bomb.tif is 60000 x 60000 pixels, more than reader.max_pixels 300000000; read it by windows"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in (GeoTiffReader(), GeoTiffReader(bands=[1])):
        with pytest.raises(ImageReadError, match=message):
            reader.read(row(tmp_path / "bomb.tif"))
    with pytest.raises(ImageReadError, match="bomb.tif is 60000 x 60000 pixels, more than reader.max_pixels"):
        ImageReader().read(row(tmp_path / "bomb.tif"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
    assert GeoTiffReader().read(row(tmp_path / "bomb.tif", window=(100, 200, 64, 48))).shape == (64, 48, 1)
    assert GeoTiffReader(max_pixels=10**10).size(row(tmp_path / "bomb.tif")) == (60_000, 60_000)


@pytest.mark.parametrize("window", [(40, 50, 64, 64), (-10, -20, 64, 64), (0, 0, 200, 16)])
def test_a_window_over_the_edge_has_the_size_that_was_asked_for(tmp_path, window):
    """Rasterio's own read gives what is left of it: 28 x 28 pixels of 64 x 64."""
    pixels = noise(3, 72, 80)
    write(tmp_path / "a.tif", pixels)
    top, left, height, width = window
    image, valid = GeoTiffReader().read_with_valid(row(tmp_path / "a.tif", window=window))
    assert image.shape == (height, width, 3)
    inside = np.zeros((height, width), bool)
    rows, columns = slice(max(top, 0), min(top + height, 72)), slice(max(left, 0), min(left + width, 80))
    inside[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = True
    np.testing.assert_array_equal(image[inside], pixels[:, rows, columns].transpose(1, 2, 0).reshape(-1, 3))
    assert valid is not None
    np.testing.assert_array_equal(valid, inside)
    with pytest.raises(ImageReadError, match=r"a.tif is 72 x 80 pixels, the window \(72, 0, 8, 8\)"):
        GeoTiffReader().read(row(tmp_path / "a.tif", window=(72, 0, 8, 8)))
