"""Submissions of masks: per class, with endings on ids, as polygons."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonargparse import ArgumentParser

from evaluation.metrics import SpaceNetF1
from postprocessing import Resize
from submissions import (
    ClassPolygons,
    ClassRunLengths,
    InstanceRunLengths,
    Polygons,
    RunLengths,
    Submission,
    SubmissionError,
)

CLOUDS = ["Fish", "Flower", "Gravel", "Sugar"]
BODY = {"id_column": "id", "class_column": "class", "value_column": "predicted", "order": "row"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("submissions")


def through(format_, arrays_, folder, sizes, name="mask"):
    """What is read from the file that was written."""
    path = folder / "submission.csv"
    format_.write([(image_id, {name: array}) for image_id, array in arrays_.items()], path, None, sizes)
    return {image_id: result[name] for image_id, result in format_.read(path, sizes).items()}


def masks(channels):
    return st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: arrays(bool, (channels, *size)))


@settings(max_examples=40, deadline=None)
@given(one=masks(4), other=masks(4), joined=st.booleans())
def test_class_masks_come_back(folder, one, other, joined):
    format_ = ClassRunLengths(CLOUDS, suffix=".jpg") if joined else ClassRunLengths(CLOUDS, **BODY)
    given_ = {"a_b": one, "Fish_Sugar": other}
    again = through(format_, given_, folder, {name: mask.shape[1:] for name, mask in given_.items()})
    for name, mask in given_.items():
        np.testing.assert_array_equal(again[name], mask)


@settings(max_examples=20, deadline=None)
@given(mask=masks(1))
def test_ids_keep_their_ending(folder, mask):
    sizes = {"00087a6bd4dc": mask.shape[1:]}
    carvana = RunLengths("img", "rle_mask", order="row", suffix=".jpg")
    np.testing.assert_array_equal(through(carvana, {"00087a6bd4dc": mask}, folder, sizes)["00087a6bd4dc"], mask)
    assert (folder / "submission.csv").read_text().splitlines()[1].startswith("00087a6bd4dc.jpg,")
    airbus = InstanceRunLengths(suffix=".jpg")
    ids = mask[0].astype(np.int32)
    again = through(airbus, {"00087a6bd4dc": ids}, folder, sizes, "instances")
    np.testing.assert_array_equal(again["00087a6bd4dc"], ids)
    assert (folder / "submission.csv").read_text().splitlines()[1].startswith("00087a6bd4dc.jpg,")


def test_clouds_are_submitted_small_and_in_the_samples_order(tmp_path):
    lines = [f"{image}.jpg_{name},1 1" for image in ("b", "a") for name in CLOUDS]
    (tmp_path / "sample.csv").write_text("\n".join(["Image_Label,EncodedPixels", *lines]) + "\n")
    random = np.random.default_rng(0)
    full = {name: random.random((4, 1400 // 10, 2100 // 10)) < 0.3 for name in ("a", "b")}
    full["a"][2] = False
    format_ = ClassRunLengths(CLOUDS, size=[35, 52], suffix=".jpg")
    sizes = dict.fromkeys(full, (140, 210))
    path = tmp_path / "s.csv"
    format_.write([(k, {"mask": v}) for k, v in full.items()], path, tmp_path / "sample.csv", sizes)
    written = list(csv.DictReader(open(path)))
    assert [row["Image_Label"] for row in written] == [line.split(",")[0] for line in lines]
    assert written[6]["EncodedPixels"] == ""
    for image_id, result in format_.read(path, sizes).items():
        expected = Resize([35, 52])({"mask": full[image_id]})["mask"]
        np.testing.assert_array_equal(result["mask"], expected)
    # a prediction that a step has resized already is submitted as it is
    small = [(k, Resize([35, 52])({"mask": v})) for k, v in full.items()]
    format_.write(small, tmp_path / "small.csv", tmp_path / "sample.csv", sizes)
    assert (tmp_path / "small.csv").read_text() == path.read_text()


ROWS = [f"a.jpg_{name},1 2" for name in CLOUDS]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS[:3], "a.jpg_Suger,1 2"], "row 5: id 'a.jpg_Suger' does not end in a class"),
        ([*ROWS[:3], "b.jpg_Sugar,1 2"], "row 5: image 'b' is unknown"),
        (ROWS[:3], "row 2, image 'a': 1 classes have no row: Sugar"),
        ([*ROWS[:3], "a.jpg_Sugar,16 2"], "row 5, image 'a': .*exceeds the mask"),
        ([*ROWS[:3], "a.jpg_Sugar,1 2 2 2"], "row 5, image 'a': .*starts inside"),
        ([*ROWS, ROWS[3]], "row 6: image 'a.jpg_Sugar' has a second row"),
        ([*ROWS, ROWS[0]], "row 6: image 'a.jpg_Fish' is repeated"),
        ([*ROWS[:3], "a_Sugar,1 2"], r"row 5: id 'a' does not end in '\.jpg'"),
    ],
)
def test_wrong_class_masks_are_refused(tmp_path, rows, message):
    (tmp_path / "s.csv").write_text("\n".join(["Image_Label,EncodedPixels", *rows]) + "\n")
    with pytest.raises(SubmissionError, match=message):
        ClassRunLengths(CLOUDS, suffix=".jpg").validate(tmp_path / "s.csv", None, {"a": (4, 4)})


def test_a_row_per_class_follows_the_samples_keys(tmp_path):
    (tmp_path / "sample.csv").write_text("id,class,predicted\nx,stomach,\nx,large_bowel,\n")
    format_ = ClassRunLengths(["large_bowel", "stomach"], **BODY)
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 0, 1:3] = True
    format_.write([("x", {"mask": mask})], tmp_path / "s.csv", tmp_path / "sample.csv", {"x": (3, 4)})
    assert (tmp_path / "s.csv").read_text() == "id,class,predicted\nx,stomach,2 2\nx,large_bowel,\n"
    (tmp_path / "wrong.csv").write_text("id,class,predicted\nx,stomach,\nx,small_bowel,\n")
    with pytest.raises(
        SubmissionError, match=r"missing \['x, large_bowel'\], 1 ids are not in the sample \['x, small_bowel'\]"
    ):
        format_.validate(tmp_path / "wrong.csv", tmp_path / "sample.csv")
    with pytest.raises(SubmissionError, match="row 3, image 'x': class 'small_bowel' is unknown"):
        format_.validate(tmp_path / "wrong.csv", None, {"x": (3, 4)})
    with pytest.raises(SubmissionError, match=r"image 'x': 'mask' is \(1, 3, 4\), expected a mask of 2 classes"):
        format_.write([("x", {"mask": mask[:1]})], tmp_path / "t.csv")


# --- polygons --------------------------------------------------------------------------------------------------------


def connected(seed, size=(24, 31)):
    """Instance ids whose pixels hang together by edges, with holes, some touching."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), 1)
    labels, _ = ndimage.label(noise > np.quantile(noise, 0.5 + 0.02 * (seed % 10)))
    return labels.astype(np.int32)


def same_partition(one, other):
    """Equal up to the numbers of the instances."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] and ((one > 0) == (other > 0)).all()


@pytest.mark.parametrize("seed", range(12))
def test_buildings_come_back(tmp_path, seed):
    pytest.importorskip("rasterio")
    labels = {"AOI_2_Vegas_img1": connected(seed), "AOI_2_Vegas_img2": np.zeros((5, 6), np.int32)}
    sizes = {name: array.shape for name, array in labels.items()}
    again = through(Polygons(), labels, tmp_path, sizes, "instances")
    assert all(same_partition(again[name], labels[name]) for name in labels)
    last = (tmp_path / "submission.csv").read_text().splitlines()[-1]
    assert last == "AOI_2_Vegas_img2,-1,POLYGON EMPTY,1"
    rows = Polygons().read(tmp_path / "submission.csv", sizes)["AOI_2_Vegas_img1"]
    assert sum(polygon.area for polygon in rows["polygons"]) == (labels["AOI_2_Vegas_img1"] > 0).sum()
    assert all(polygon.is_valid for polygon in rows["polygons"])


def test_confidences_and_pieces(tmp_path):
    pytest.importorskip("rasterio")
    labels = np.zeros((8, 8), np.int32)
    labels[0, :3], labels[5:7, 5:7], labels[2, 0] = 1, 3, 3
    prediction = {"instances": labels, "confidence": np.array([0.25, 0, 0.75])}
    Polygons().write([("x", prediction)], tmp_path / "s.csv", None, {"x": (8, 8)})
    read = Polygons().read(tmp_path / "s.csv", {"x": (8, 8)})["x"]
    assert read["confidence"].tolist() == [0.25, 0.75, 0.75]
    assert sorted(polygon.area for polygon in read["polygons"]) == [1, 3, 4]
    with pytest.raises(SubmissionError, match="image 'x': 'confidence' has 2 values, expected one for instance 3"):
        Polygons().write([("x", prediction | {"confidence": np.ones(2)})], tmp_path / "t.csv")


def test_tolerance_leaves_out_corners(tmp_path):
    pytest.importorskip("rasterio")
    ys, xs = np.mgrid[:60, :60]
    disc = {"x": (np.hypot(ys - 30, xs - 30) < 25).astype(np.int32)}
    through(Polygons(), disc, tmp_path, {"x": (60, 60)}, "instances")
    exact = (tmp_path / "submission.csv").stat().st_size
    simple = through(Polygons(tolerance=1.0), disc, tmp_path, {"x": (60, 60)}, "instances")
    assert (tmp_path / "submission.csv").stat().st_size < exact / 2
    assert (simple["x"] != disc["x"]).mean() < 0.03


def test_real_footprints_are_read_and_scored(competition_data, tmp_path):
    pytest.importorskip("rasterio")
    root = competition_data / "sat_spacenet"
    if not root.is_dir():
        pytest.skip(f"no SpaceNet samples in {competition_data}")
    sizes = {row["ImageId"]: (650, 650) for row in csv.DictReader(open(root / "SN2_sample_truth.csv"))}
    Polygons().validate(root / "SN2_sample_preds.csv", None, sizes)
    predictions = Polygons().read(root / "SN2_sample_preds.csv", sizes)
    truths = Polygons().read(root / "SN2_sample_truth.csv", sizes)
    exact, pixels = SpaceNetF1(output="polygons"), SpaceNetF1()
    for image_id, truth in truths.items():
        exact.add(image_id, predictions[image_id], truth)
        pixels.add(image_id, predictions[image_id], truth)
    assert float(exact.compute()) == pytest.approx((0.8860759493670887 + 0.4444444444444444) / 2)
    assert float(pixels.compute()) == pytest.approx(float(exact.compute()), abs=0.02)


BUILDING = 'x,1,"POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0))",1'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([BUILDING, BUILDING], "row 3, image 'x': building '1' is repeated"),
        (
            [BUILDING, 'x,2,"POLYGON ((0 0, 4 4, 4 0, 0 4, 0 0))",1'],
            "row 3, image 'x': the polygon is invalid: Self-int",
        ),
        (
            [BUILDING, 'x,2,"POLYGON ((0 0, 9 0, 9 4, 0 0))",1'],
            "row 3, image 'x': building '2' exceeds",
        ),
        ([BUILDING, "x,-1,POLYGON EMPTY,1"], "row 3, image 'x': building -1 means no buildings"),
        (["x,-1,POLYGON EMPTY,1", 'y,1,"POINT (1 1)",1'], "row 3: image 'y' is unknown"),
        (['x,1,"POINT (1 1)",1'], r"row 2, image 'x': 'POINT \(1 1\)' is not a Polygon"),
        (["x,1,hello,1"], "row 2, image 'x': 'hello' is not well-known text"),
        (["x,1,POLYGON EMPTY,1"], "row 2, image 'x': building '1' is 'POLYGON EMPTY'"),
        ([BUILDING.replace(",1,", ",-1,", 1)], "row 2, image 'x': building '-1' is"),
        ([BUILDING[:-1] + "high"], "row 2, image 'x': could not convert"),
        ([BUILDING[:-1] + "nan"], "row 2, image 'x': confidence is 'nan'"),
    ],
)
def test_wrong_buildings_are_refused(tmp_path, rows, message):
    pytest.importorskip("rasterio")
    lines = ["ImageId,BuildingId,PolygonWKT_Pix,Confidence", *rows]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SubmissionError, match=message):
        Polygons().validate(tmp_path / "s.csv", None, {"x": (8, 8)})


def grid(tmp_path, *ids):
    """DSTL's table, its first column without a name."""
    lines = [f"{image_id},0.009188,-0.00904{number}" for number, image_id in enumerate(ids)]
    (tmp_path / "grid_sizes.csv").write_text("\n".join([",Xmax,Ymin", *lines]) + "\n")
    return str(tmp_path / "grid_sizes.csv")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("with_grid", [True, False])
def test_class_polygons_come_back(tmp_path, seed, with_grid):
    pytest.importorskip("rasterio")
    random = np.random.default_rng(seed)
    given_ = {
        "6120_2_2": np.stack([connected(seed + n) > 0 for n in range(10)]),
        "6010_0_0": random.random((10, 17, 23)) < np.linspace(0, 1, 10)[:, None, None],
    }
    format_ = ClassPolygons(grid_sizes=grid(tmp_path, *given_) if with_grid else None)
    again = through(format_, given_, tmp_path, {name: mask.shape[1:] for name, mask in given_.items()})
    for name, mask in given_.items():
        np.testing.assert_array_equal(again[name], mask)
    rows = list(csv.DictReader(open(tmp_path / "submission.csv")))
    assert [row["ClassType"] for row in rows] == [str(n) for n in range(1, 11)] * 2
    assert rows[10]["MultipolygonWKT"] == "MULTIPOLYGON EMPTY"


def test_class_polygons_at_the_competitions_size_lie_where_the_data_page_says(tmp_path):
    shapely = pytest.importorskip("shapely")
    pytest.importorskip("rasterio")
    mask = np.zeros((10, 3348, 3391), bool)
    mask[4, 100:200, 300:500] = True
    mask[4, 101, 301] = False
    format_ = ClassPolygons(grid_sizes=grid(tmp_path, "6120_2_2"))
    again = through(format_, {"6120_2_2": mask}, tmp_path, {"6120_2_2": (3348, 3391)})
    np.testing.assert_array_equal(again["6120_2_2"], mask)
    found = shapely.from_wkt(list(csv.DictReader(open(tmp_path / "submission.csv")))[4]["MultipolygonWKT"])
    across, down = 3391 * 3391 / 3392 / 0.009188, 3348 * 3348 / 3349 / -0.009040
    pixels = shapely.transform(found, lambda points: points * [across, down])
    np.testing.assert_allclose(pixels.bounds, (300, 100, 500, 200), atol=1e-3)
    assert pixels.area == pytest.approx(100 * 200 - 1, rel=1e-5)


def test_simplified_class_polygons_stay_valid(tmp_path):
    pytest.importorskip("rasterio")
    masks_ = {"x": np.stack([connected(seed, (60, 60)) > 0 for seed in range(10)])}
    again = through(ClassPolygons(tolerance=1.5), masks_, tmp_path, {"x": (60, 60)})
    assert (again["x"] != masks_["x"]).mean() < 0.15


ROW = 'x,{},"MULTIPOLYGON (((0 0, 4 0, 4 4, 0 4, 0 0)))"'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW.format(1)], "row 2, image 'x': 1 classes have no row: 2"),
        ([ROW.format(1), ROW.format(3)], "row 3, image 'x': class '3' is unknown"),
        ([ROW.format(1), ROW.format(1)], "row 3: image 'x, 1' has a second row"),
        (
            [ROW.format(1), 'x,2,"MULTIPOLYGON (((0 0, 4 4, 4 0, 0 4, 0 0)))"'],
            "row 3, image 'x': the polygon is invalid",
        ),
        ([ROW.format(1), 'x,2,"MULTIPOLYGON (((0 0, 40 4, 4 0, 0 0)))"'], "row 3, image 'x': class '2' exceeds"),
        ([ROW.format(1), "x,2,"], "row 3, image 'x': '' is no"),
    ],
)
def test_wrong_class_polygons_are_refused(tmp_path, rows, message):
    pytest.importorskip("rasterio")
    (tmp_path / "s.csv").write_text("\n".join(["ImageId,ClassType,MultipolygonWKT", *rows]) + "\n")
    with pytest.raises(SubmissionError, match=message):
        ClassPolygons(["1", "2"]).validate(tmp_path / "s.csv", None, {"x": (8, 8)})


def test_a_missing_grid_is_told(tmp_path):
    pytest.importorskip("rasterio")
    mask = {"mask": np.ones((10, 4, 4), bool)}
    with pytest.raises(SubmissionError, match="table of grid sizes nowhere.csv does not exist"):
        ClassPolygons(grid_sizes="nowhere.csv").write([("x", mask)], tmp_path / "s.csv")
    with pytest.raises(SubmissionError, match="image 'x' has no row in"):
        ClassPolygons(grid_sizes=grid(tmp_path, "y")).write([("x", mask)], tmp_path / "s.csv")


def test_formats_come_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--formats", type=list[Submission])
    package = "submissions."
    formats = [
        {"class_path": package + "Labels", "init_args": {"classes": 28}},
        {"class_path": package + "Labels", "init_args": {"classes": ["haze", "water"], "id_column": "image_name"}},
        {"class_path": package + "Ordinal"},
        {"class_path": package + "ClassColumns", "init_args": {"classes": ["Type_1", "Type_2"], "suffix": ".jpg"}},
        {"class_path": package + "ClassRunLengths", "init_args": {"classes": CLOUDS, "size": [350, 525]}},
        {"class_path": package + "Polygons"},
        {"class_path": package + "ClassPolygons", "init_args": {"grid_sizes": "data/dstl/grid_sizes.csv"}},
        {"class_path": package + "InstanceRunLengths", "init_args": {"suffix": ".jpg"}},
    ]
    made = parser.instantiate(parser.parse_object({"formats": formats})).formats
    assert [type(one).__name__ for one in made] == [entry["class_path"].rpartition(".")[2] for entry in formats]
    assert made[4].size == [350, 525]
    assert made[0].classes == 28


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), first=st.integers(0, 1))
def test_class_maps_come_back(folder, seed, first):
    """What `ArgMax` gives, with the background as a class of its own or without a row."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 4 + first, tuple(rng.integers(1, 9, 2)))
    form, sizes = ClassRunLengths(CLOUDS, first_class=first), {"a": numbers.shape}
    np.testing.assert_array_equal(through(form, {"a": numbers}, folder, sizes)["a"], numbers)
    masks = numbers == np.arange(first, first + 4)[:, None, None]
    plain = ClassRunLengths(CLOUDS)
    np.testing.assert_array_equal(plain.read(folder / "submission.csv", sizes)["a"]["mask"], masks)


def test_class_maps_need_the_first_class(folder):
    with pytest.raises(SubmissionError, match="has class numbers; set first_class"):
        ClassRunLengths(CLOUDS).write([("a", {"mask": np.zeros((3, 4), int)})], folder / "s.csv")
    with pytest.raises(SubmissionError, match="has class 5, expected 0 to 4"):
        ClassRunLengths(CLOUDS, first_class=1).write([("a", {"mask": np.full((3, 4), 5)})], folder / "s.csv")
    with pytest.raises(ValueError, match="first_class is 2"):
        ClassRunLengths(CLOUDS, first_class=2)
    both = [f"a_{name},1 2" for name in CLOUDS]
    (folder / "s.csv").write_text("\n".join(["Image_Label,EncodedPixels", *both]) + "\n")
    with pytest.raises(SubmissionError, match="2 pixels have several classes"):
        ClassRunLengths(CLOUDS, first_class=1).read(folder / "s.csv", {"a": (3, 4)})
