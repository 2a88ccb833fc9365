"""Masks and instances from polygons in pixels: only areas count."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

shapely = pytest.importorskip("shapely")

from datamodules.targets import Polygons  # noqa: E402

SQUARE = "POLYGON ((10 10, 30 10, 30 30, 10 30, 10 10))"


def read(tmp_path, texts, size=(40, 60), window=None, **arguments):
    table = pd.DataFrame({"ImageId": "a", "PolygonWKT_Pix": texts})
    table.to_csv(tmp_path / "wkt.csv", index=False)
    target = Polygons(csv="wkt.csv", **arguments)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    row = SimpleNamespace(image_id="a", path="a.png", **({} if window is None else {"window": window}))
    return target.read(row, size if window is None else window[2:])[target.name]


@pytest.mark.parametrize(
    ("text", "area"),
    [
        (SQUARE, 400),
        ("POLYGON ((3 5.5, 40 5.5, 40 5.5, 3 5.5))", 0),  # two points, through centres
        ("POLYGON ((3 5.5, 40 5.5, 3 5.5))", 0),
        ("POLYGON ((2 2, 20 20, 35 35, 2 2))", 0),  # collinear
        ("POLYGON ((4.5 4.5, 4.5 4.5, 4.5 4.5, 4.5 4.5))", 0),  # a point
        ("POLYGON ((10 10, 30 10, 55 10.5, 30 10, 30 30, 10 30, 10 10))", 400),  # spikes outside
        ("POLYGON ((10.5 10.5, 30.5 10.5, 50.5 10.5, 30.5 10.5, 30.5 30.5, 10.5 30.5, 10.5 10.5))", 400),
        ("POLYGON ((10 10, 30 10, 30 30, 20.5 30, 20.5 15.5, 20.5 30, 10 30, 10 10))", 400),  # and inside
        ("POLYGON ((10 10, 30 10, 30 30, 10 30, 10 10), (15 15, 25 15, 25 15, 15 15))", 400),  # a hole without area
        ("POLYGON ((10 10, 30 10, 30 30, 10 30, 10 10), (15 15, 25 15, 25 25, 15 25, 15 15))", 300),
        ("MULTIPOLYGON (((0 0, 10 0, 10 10, 0 10, 0 0)), ((5 5, 15 5, 15 15, 5 15, 5 5)))", 175),  # parts overlap
        (f"GEOMETRYCOLLECTION ({SQUARE}, LINESTRING (0 5.5, 50 5.5), POINT (2.5 2.5))", 400),
        ("POLYGON EMPTY", 0),
        ("LINESTRING EMPTY", 0),
    ],
)
@pytest.mark.parametrize("instances", [False, True])
def test_only_areas_count(tmp_path, text, area, instances):
    assert np.count_nonzero(read(tmp_path, [text], instances=instances)) == area


@pytest.mark.parametrize("text", ["LINESTRING (0 5.5, 50 5.5)", "POINT (2.5 2.5)", "MULTIPOINT (1 1, 2 2)"])
def test_lines_without_a_buffer_are_refused_by_name(tmp_path, text):
    with pytest.raises(ValueError, match=r"wkt\.csv, image 'a': a \w+ has no area, expected polygons; .* buffer"):
        read(tmp_path, [text])


def test_text_that_is_no_polygon_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"wkt\.csv, row 3, image 'a': 'POLYGON \(\(1 1, 2' is not valid WKT"):
        read(tmp_path, [SQUARE, "POLYGON ((1 1, 2"])


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            "ImageId,PolygonWKT_Pix,c\na,{0},Building\n",
            {"class_key": "c", "classes": ["building"]},
            "c has none of the classes 'building'",
        ),
        ("ImageId,PolygonWKT_Pix,c\n,{0},x\n", {}, "none of its 1 names matches an image: ''; the images are 'a', 'b'"),
        ("ImageId,PolygonWKT_Pix,c\nIMG_a,{0},x\n", {}, "without 'IMG_' before them"),
        ("ImageId,PolygonWKT_Pix,c\nval/a,{0},x\n", {}, "Only their folders differ"),
        ("ImageId,PolygonWKT_Pix,c\na,{0},x\n", {"required": True}, "no row for 1 of 2 images; the first is 'b'"),
    ],
)
def test_tables_of_other_images_or_classes_are_refused(tmp_path, text, settings, message):
    (tmp_path / "wkt.csv").write_text(text.format(f'"{SQUARE}"'))
    table = pd.DataFrame({"image_id": ["a", "b"], "path": ["train/a.tif", "train/b.tif"]})
    with pytest.raises(ValueError, match=rf"wkt\.csv, column .*{message}"):
        Polygons(csv="wkt.csv", **settings).prepare(table, tmp_path)


def test_shares_and_other_endings_are_told(tmp_path):
    (tmp_path / "wkt.csv").write_text(f'ImageId,PolygonWKT_Pix\na.tif,"{SQUARE}"\nc.tif,"{SQUARE}"\n')
    table = pd.DataFrame({"image_id": ["a", "b"], "path": ["a.jpg", "b.jpg"]})
    target = Polygons(csv="wkt.csv")
    with pytest.warns(UserWarning, match="names") as told:
        target.prepare(table, tmp_path)
    text = " ".join(str(one.message) for one in told)
    assert "1 of 2 names match no image: 'c.tif'; 1 of 2 images have no name" in text
    assert "1 of 1 names have another ending than the image file: 'a.tif'" in text
    assert target.read(SimpleNamespace(image_id="a"), (80, 90))["mask"].any()


def test_geojson_files_that_are_not_there_or_of_other_classes_are_told(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b"]})
    target = Polygons(geojson="{image_id}.json", class_key="kind", classes=["road"])
    with pytest.raises(FileNotFoundError, match=r"2 of 2 .* no polygons; the first is 'a': no file \S*a\.json\. Check"):
        target.prepare(table, tmp_path)
    for properties, message in (
        ({"kind": "Road"}, "the property 'kind' has none of the classes 'road'; it has 'Road'"),
        ({"type": "road"}, r"a\.json, feature 0: no property 'kind', only \['type'\]"),
    ):
        feature = {"type": "Feature", "properties": properties, "geometry": None}
        (tmp_path / "a.json").write_text(json.dumps({"features": [feature]}))
        with (
            pytest.raises(ValueError, match=message),
            pytest.warns(UserWarning, match="1 of 2 images have no polygons"),
        ):
            target.prepare(table, tmp_path)
    for text, message in (("{", "a.json, line 1, column 2: not JSON"), ("[]", "has no list of features")):
        (tmp_path / "a.json").write_text(text)
        with (
            pytest.raises(ValueError, match=message),
            pytest.warns(UserWarning, match="1 of 2 images have no polygons"),
        ):
            target.prepare(table, tmp_path)


def test_lines_with_a_buffer_are_roads(tmp_path):
    assert np.count_nonzero(read(tmp_path, ["LINESTRING (10 20, 50 20)"], buffer=2.0)) == pytest.approx(160 + 12, abs=6)


def test_70_000_instances_keep_their_ids(tmp_path):
    rows, columns = np.divmod(np.arange(70_000), 280)
    texts = shapely.to_wkt(shapely.box(columns, rows, columns + 1, rows + 1), trim=True).tolist()
    labels = read(tmp_path, texts, size=(250, 280), instances=True)
    assert (labels == np.arange(1, 70_001).reshape(250, 280)).all()


POINTS = st.tuples(st.integers(-4, 64), st.integers(-4, 44))
WINDOWS = st.tuples(st.integers(0, 30), st.integers(0, 40), st.integers(1, 10), st.integers(1, 20))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(POINTS, min_size=3, max_size=6), min_size=1, max_size=4), WINDOWS)
def test_a_window_is_a_part_of_the_whole(tmp_path_factory, polygons, window):
    folder = tmp_path_factory.mktemp("polygons")
    texts = [shapely.Polygon([(x / 2, y / 2) for x, y in points]).wkt for points in polygons]
    top, left, height, width = window
    for instances in (False, True):
        whole = read(folder, texts, instances=instances)
        part = read(folder, texts, window=window, instances=instances)
        assert (part == whole[..., top : top + height, left : left + width]).all()
