"""Predictions on the map."""

import json

import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')

from rasterio.features import rasterize  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402
from rasterio.warp import transform_geom  # noqa: E402

from submissions import GeoTiffs, SubmissionError  # noqa: E402

PLACE = {"crs": "EPSG:32616", "transform": from_origin(500_000, 4_000_000, 2, 2)}


@pytest.fixture
def table(tmp_path):
    for name in ("001", "b"):
        profile = {"driver": "GTiff", "count": 2, "height": 30, "width": 40, "dtype": "uint16", "nodata": 0}
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile, **PLACE) as target:
            pixels = np.full((2, 30, 40), 9, np.uint16)
            pixels[:, :, :3] = 0
            target.write(pixels)
    return pd.DataFrame({"image_id": ["001", "b"], "path": [str(tmp_path / f"{name}.tif") for name in ("001", "b")]})


def written(submission, table, tmp_path, predictions):
    output = tmp_path / "out" / "submission.csv"
    submission.begin(output, table)
    submission.write(predictions.items(), output, None, dict.fromkeys(predictions, (30, 40)))
    return output


def test_files_have_the_place_of_their_images_and_read_back(table, tmp_path):
    random = np.random.default_rng(0)
    classes = {
        name: random.dirichlet(np.ones(4), (30, 40)).transpose(2, 0, 1).astype(np.float32) for name in ("001", "b")
    }
    submission = GeoTiffs()
    output = written(submission, table, tmp_path, {name: {"mask": value} for name, value in classes.items()})
    with rasterio.open(tmp_path / "out/submission/001.tif") as source:
        assert source.crs.to_epsg() == 32616
        assert source.transform == PLACE["transform"]
        np.testing.assert_array_equal(source.read(1), classes["001"].argmax(0))
    found = submission.read(output, {"001": (30, 40), "b": (30, 40)})
    np.testing.assert_array_equal(found["b"]["mask"], classes["b"].argmax(0))


def test_polygons_give_the_mask_again(table, tmp_path):
    mask = np.zeros((2, 30, 40), bool)
    mask[0, 5:12, 8:20], mask[1, 20:28, 10:13], mask[1, 2:6, 2:9] = True, True, True
    written(GeoTiffs(polygons=True), table, tmp_path, {name: {"mask": mask} for name in ("001", "b")})
    features = json.loads((tmp_path / "out/submission/001.geojson").read_text())["features"]
    assert len(features) == 3
    for channel in (1, 2):
        shapes = [
            transform_geom("OGC:CRS84", PLACE["crs"], feature["geometry"])
            for feature in features
            if feature["properties"]["channel"] == channel
        ]
        drawn = rasterize(shapes, out_shape=(30, 40), transform=PLACE["transform"])
        np.testing.assert_array_equal(drawn > 0, mask[channel - 1])


def test_places_without_data_and_wrong_predictions(table, tmp_path):
    ids = np.arange(1200).reshape(30, 40)
    written(GeoTiffs(output="instances", nodata=65535), table, tmp_path, {"001": {"instances": ids}})
    with rasterio.open(tmp_path / "out/submission/001.tif") as source:
        assert (source.read(1)[:, :3] == 65535).all()
        assert (source.read(1)[:, 3:] == ids[:, 3:]).all()
    with pytest.raises(ValueError, match="add postprocessing.Threshold"):
        written(GeoTiffs(), table, tmp_path, {"001": {"mask": np.zeros((1, 30, 40), np.float32)}})
    with pytest.raises(ValueError, match=r"image 'b' is \(3, 4\), expected \(30, 40\)"):
        written(GeoTiffs(), table, tmp_path, {"b": {"mask": np.zeros((1, 3, 4), bool)}})
    assert not list((tmp_path / "out").rglob("*.tmp*"))


def test_what_is_refused_leaves_no_file_and_the_former_ones_as_they_were(table, tmp_path):
    good, bad = {"mask": np.ones((1, 30, 40), bool)}, {"mask": np.zeros((1, 3, 4), bool)}
    with pytest.raises(SubmissionError, match="image 'b'"):
        written(GeoTiffs(polygons=True), table, tmp_path, {"001": good, "b": bad})
    assert not list((tmp_path / "out").rglob("*"))
    (tmp_path / "sample.csv").write_text("image_id,path\n001,\nb,\n")
    submission, output = GeoTiffs(), tmp_path / "out" / "submission.csv"
    submission.begin(output, table)
    with pytest.raises(SubmissionError, match=r"1 ids without a prediction \['b'\]"):
        submission.write([("001", good)], output, tmp_path / "sample.csv", {"001": (30, 40)})
    assert not list((tmp_path / "out").rglob("*"))
    written(submission, table, tmp_path, {"001": good, "b": good})
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert sorted(before) == ["001.tif", "b.tif", "submission.csv"]
    with pytest.raises(SubmissionError, match="'001' has two predictions"):
        submission.write([("001", {"mask": ~good["mask"]})] * 2, output, None, {"001": (30, 40)})
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before


def test_the_limit_of_the_file_counts_here_too(table, tmp_path):
    """`submit` gives it to every format; the pictures beside the file are held back, too."""
    form, output = GeoTiffs(), tmp_path / "out" / "submission.csv"
    form.begin(output, table)
    predictions = [(one, {"mask": np.ones((1, 30, 40), bool)}) for one in ("001", "b")]
    with pytest.raises(SubmissionError, match="competition.max_file_size is 1e-06"):
        form.write(predictions, output, None, None, 1e-6)
    assert not list((tmp_path / "out").rglob("*"))
    form.write(predictions, output, None, None, 1.0)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["001.tif", "b.tif", "submission.csv"]


@pytest.mark.parametrize("name", ["maps", "maps.v2", "maps.zip"])
def test_an_output_without_csv_is_a_folder_or_a_zip(table, tmp_path, name):
    form, output = GeoTiffs(polygons=True), tmp_path / "out" / name
    mask = np.zeros((1, 30, 40), bool)
    mask[0, 3:9, 4:20] = True
    sizes = dict.fromkeys(("001", "b"), (30, 40))
    form.begin(output, table)
    form.write([(one, {"mask": mask}) for one in sizes], output, None, sizes)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    if output.is_dir():
        assert sorted(path.name for path in output.iterdir()) == ["001.geojson", "001.tif", "b.geojson", "b.tif"]
        with rasterio.open(output / "001.tif") as source:
            np.testing.assert_array_equal(source.read(1), mask[0])
    np.testing.assert_array_equal(form.read(output, sizes)["b"]["mask"], mask[0])
