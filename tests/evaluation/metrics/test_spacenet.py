"""SpaceNet's F1 against the scores that its own tool published for real footprints."""

import csv

import numpy as np
import pytest

from evaluation.metrics import SpaceNetF1
from postprocessing.search import search
from postprocessing.search_workers import SearchImage

shapely = pytest.importorskip("shapely")

AREAS = {"AOI_2": (35, 2, 7, 0.8860759493670887), "AOI_5": (52, 55, 75, 0.4444444444444444)}


def footprints(path, confidence):
    """Polygons and confidences by image."""
    images = {}
    for row in csv.DictReader(open(path)):
        polygons, scores = images.setdefault(row["ImageId"], ([], []))
        if row["BuildingId"] != "-1":
            polygons.append(shapely.force_2d(shapely.from_wkt(row["PolygonWKT_Pix"])))
            scores.append(float(row[confidence]) if confidence else 0.0)
    return images


@pytest.fixture(scope="module")
def images(competition_data):
    folder = competition_data / "sat_spacenet"
    if not folder.is_dir():
        pytest.skip(f"no SpaceNet samples in {competition_data}")
    predicted = footprints(folder / "SN2_sample_preds.csv", "Confidence")
    true = footprints(folder / "SN2_sample_truth.csv", None)
    pairs = {}
    for image_id in sorted(predicted | true):
        found, scores = predicted.get(image_id, ([], []))
        wanted, _ = true.get(image_id, ([], []))
        prediction = {"polygons": np.array(found, object), "confidence": np.array(scores)}
        pairs[image_id] = prediction, {"polygons": np.array(wanted, object)}
    return folder, pairs


@pytest.mark.parametrize("min_predicted_area", [0.0, 20.0])
def test_published_scores(images, min_predicted_area):
    folder, pairs = images
    metric = SpaceNetF1(output="polygons", min_predicted_area=min_predicted_area)
    published = {row["imageID"]: row for row in csv.DictReader(open(folder / "SN2_test_results_full.csv"))}
    for image_id, (prediction, truth) in pairs.items():
        metric.add(image_id, prediction, truth)
        row = published[image_id]
        assert metric.rows[image_id][1:].tolist() == [int(row[name]) for name in ("TruePos", "FalsePos", "FalseNeg")]
    assert len(metric.rows) == len(published)
    for area, (tp, fp, fn, score) in AREAS.items():
        rows = np.stack([row for image_id, row in metric.rows.items() if image_id.startswith(area)])
        assert rows[:, 1:].sum(0).tolist() == [tp, fp, fn]
        assert metric.reduce(rows) == pytest.approx(score, abs=1e-12)
    assert float(metric.compute()) == pytest.approx(np.mean([score for *_, score in AREAS.values()]))


def test_truth_found_exactly_scores_one(images):
    _, pairs = images
    metric = SpaceNetF1(output="polygons", areas=None)
    for image_id, (_, truth) in pairs.items():
        metric.add(image_id, truth, truth)
    rows = np.stack(list(metric.rows.values()))
    assert rows[:, [0, 3]].sum() == 0
    assert float(metric.compute()) == pytest.approx(2 * rows[:, 1].sum() / (2 * rows[:, 1] + rows[:, 2]).sum())


def squares(*corners):
    """Instance ids and the same squares as polygons, `(top, left, side)` each."""
    labels = np.zeros((60, 60), np.int32)
    for number, (top, left, side) in enumerate(corners, 1):
        labels[top : top + side, left : left + side] = 3 * number
    polygons = [shapely.box(left, top, left + side, top + side) for top, left, side in corners]
    return labels, np.array(polygons, object)


TRUE = squares((0, 0, 10), (20, 0, 4), (30, 30, 8))
FOUND = squares((0, 1, 10), (20, 0, 4), (30, 36, 8), (50, 50, 6))


@pytest.mark.parametrize("kind", [0, 1])
def test_instances_and_polygons_score_alike(kind):
    metric = SpaceNetF1(areas=None)
    # 16 pixels are too few to count as truth, but were predicted; half of 8 x 8 is no match
    row = metric.image({"instances": FOUND[kind]}, {"instances": TRUE[kind]})
    assert row[1:].tolist() == [1, 3, 1]
    spared = SpaceNetF1(areas=None, min_predicted_area=20).image({"instances": FOUND[kind]}, {"instances": TRUE[kind]})
    assert spared[1:].tolist() == [1, 2, 1]
    everything = SpaceNetF1(areas=None, min_area=0).image({"instances": FOUND[kind]}, {"instances": TRUE[kind]})
    assert everything[1:].tolist() == [2, 2, 1]


def test_confidence_gives_the_order():
    # the long one overlaps both truths, the short one a single truth: whoever chooses first decides
    metric = SpaceNetF1(areas=None, output="polygons")
    true = {"polygons": np.array([shapely.box(0, 0, 10, 10), shapely.box(0, 0, 16, 10)], object)}
    found = np.array([shapely.box(0, 0, 11, 10), shapely.box(0, 0, 7, 10)], object)
    first = metric.image({"polygons": found, "confidence": np.array([0.9, 0.1])}, true)[1:].tolist()
    second = metric.image({"polygons": found, "confidence": np.array([0.1, 0.9])}, true)[1:].tolist()
    assert (first, second) == ([1, 1, 1], [2, 0, 0])


def test_confidence_of_instances_by_their_ids():
    true = np.zeros((10, 20), np.int32)
    true[:, :10], true[:, 10:16] = 1, 2
    found = np.zeros_like(true)
    found[:, :3], found[:, 3:12] = 2, 5  # ids with gaps, as steps that remove objects leave them
    metric = SpaceNetF1(areas=None, threshold=0.1)
    # 5 overlaps both: first, it takes from 2 the only one that 2 has
    for scores, expected in [([0, 0.9, 0, 0, 0.1], [2, 0, 0]), ([0, 0.1, 0, 0, 0.9], [1, 1, 1])]:
        row = metric.image({"instances": found, "confidence": np.array(scores)}, {"instances": true})
        assert row[1:].tolist() == expected


def test_areas_are_averaged_not_images():
    metric = SpaceNetF1()
    exact, nothing = {"instances": TRUE[0]}, {"instances": 0 * TRUE[0]}
    for image_id, prediction in [
        ("AOI_2_Vegas_img1", exact),
        ("AOI_2_Vegas_img2", exact),
        ("AOI_3_Paris_img1", nothing),
    ]:
        metric.add(image_id, prediction, exact)
    vegas, paris = 2 * 4 / (2 * 4 + 2), 0
    assert float(metric.compute()) == pytest.approx((vegas + paris) / 2)
    batched = SpaceNetF1()
    batched.update([TRUE[0], 0 * TRUE[0]], [TRUE[0]] * 2, ["AOI_2_Vegas_img1", "AOI_3_Paris_img1"])
    assert batched.rows["AOI_3_Paris_img1"][0] == metric.rows["AOI_3_Paris_img1"][0] != 0
    with pytest.raises(ValueError, match="does not match image id 'img7'"):
        metric.add("img7", exact, exact)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        ({"instances": FOUND[1]}, "expected both as instance ids or both as polygons"),
        ({"instances": FOUND[0] > 0}, "expected instance ids"),
        ({"instances": FOUND[0], "confidence": np.ones(2)}, "2 values, expected one for building 12"),
    ],
)
def test_wrong_kinds_are_told(prediction, message):
    with pytest.raises(ValueError, match=message):
        SpaceNetF1().image(prediction, {"instances": TRUE[0]})


def test_a_search_knows_the_areas():
    exact, nothing = {"instances": TRUE[0]}, {"instances": 0 * TRUE[0]}
    cases = [
        SearchImage(image_id, lambda p=prediction: p, lambda: exact)
        for image_id, prediction in {"AOI_2_img1": exact, "AOI_2_img2": exact, "AOI_3_img1": nothing}.items()
    ]
    assert search([], SpaceNetF1(), cases, processes=1).before == pytest.approx(0.5 * 8 / 10)
