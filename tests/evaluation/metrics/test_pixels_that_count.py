"""What does not count, counts in no metric: each metric that `evaluation.metrics` exports is tried here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import metrics
from evaluation.metrics import (
    CompetitionMetric,
    DiceGlobal,
    DiceHausdorff,
    DicePerImage,
    InstanceAveragePrecision,
    InstanceFBeta,
    IoUGlobal,
    IoUPerImage,
    IoUPrecision,
    MaskAveragePrecision,
    SpaceNetF1,
)
from evaluation.metrics.base import as_row
from evaluation.metrics.labels import flags
from masks.run_length_masks import runs_of

SIDE = (9, 7)
CLASSES = 3
IDS = [f"case1_day1_slice_{number:04d}" for number in range(3)]


class Flags(CompetitionMetric):
    """A metric as a user writes it, which has never heard of `valid`."""

    def image(self, prediction, truth):
        return np.array([np.count_nonzero(prediction["mask"] != truth["mask"])], np.float64)

    def reduce(self, rows):
        return float(rows.sum())


# Metrics over pixels, and what they read.
PIXELS = {
    "DicePerImage": (lambda: DicePerImage(), "masks"),
    "DicePerImage of class numbers": (lambda: DicePerImage(classes=CLASSES), "classes"),
    "DicePerImage of class probabilities": (lambda: DicePerImage(classes=CLASSES), "probabilities"),
    "DicePerImage of ids": (lambda: DicePerImage(output="instances"), "instances"),
    "DiceGlobal": (lambda: DiceGlobal(), "masks"),
    "DiceGlobal of class numbers": (lambda: DiceGlobal(classes=CLASSES, empty=np.nan), "classes"),
    "IoUPerImage": (lambda: IoUPerImage(empty=0.25), "masks"),
    "IoUPerImage of class numbers": (lambda: IoUPerImage(classes=CLASSES), "classes"),
    "IoUPerImage of volumes": (lambda: IoUPerImage(), "volumes"),
    "IoUGlobal": (lambda: IoUGlobal(), "masks"),
    "IoUGlobal with a value to ignore": (lambda: IoUGlobal(ignore=9), "masks"),
    "IoUGlobal of class numbers": (lambda: IoUGlobal(classes=CLASSES), "classes"),
    "IoUGlobal of class numbers in volumes": (lambda: IoUGlobal(classes=CLASSES), "class volumes"),
    "IoUPrecision": (lambda: IoUPrecision(), "mask"),
    "DiceHausdorff": (lambda: DiceHausdorff(), "masks"),
    "InstanceAveragePrecision": (lambda: InstanceAveragePrecision(), "instances"),
    "InstanceFBeta": (lambda: InstanceFBeta(), "instances"),
    "MaskAveragePrecision": (lambda: MaskAveragePrecision(classes=2, threshold=0.3), "scored"),
    "MaskAveragePrecision of runs": (lambda: MaskAveragePrecision(classes=2, threshold=0.3), "runs"),
    "SpaceNetF1": (lambda: SpaceNetF1(areas=None, min_area=2), "instances"),
    "SpaceNetF1 of polygons": (lambda: SpaceNetF1(None, 0.3, 0, output="polygons"), "polygons"),
    "a user's": (lambda: Flags(), "masks"),
}
# Metrics of images, labels and boxes, which have no pixels.
OTHERS = {
    "Accuracy",
    "AreaUnderROC",
    "BoxAveragePrecision",
    "BoxPrecision",
    "CompetitionMetric",
    "FBeta",
    "LogLoss",
    "MeanAbsoluteError",
    "MeanAveragePrecisionAtK",
    "QuadraticWeightedKappa",
    "RetrievalMeanAveragePrecision",
    "RetrievalRecall",
}


def test_every_exported_metric_is_tried():
    tried = {name.partition(" ")[0] for name in PIXELS}
    assert set(metrics.__all__) - OTHERS == tried - {"a"}


def pixels(kind, random, volume):
    """Arrays of one side, prediction or truth."""
    shape = (4, *SIDE) if volume else SIDE
    if kind in ("masks", "volumes"):
        return {"mask": random.random((2, *shape)) < 0.5}
    if kind == "mask":
        return {"mask": random.random((1, *shape)) < 0.5}
    if kind in ("classes", "class volumes"):
        return {"mask": random.integers(0, CLASSES, shape)}
    ids = np.kron(random.integers(0, 6, (3, 4)), np.ones((3, 2), int))[:, : SIDE[1]].astype(np.int32)
    scores = np.where(random.random((6, 2)) < 0.7, random.random((6, 2)), np.nan)
    return {"instances": ids, "confidence": random.random(6), "scores": scores}


def both(kind, random):
    """Prediction and truth of one image."""
    volume = "volume" in kind
    if kind == "probabilities":
        return {"mask": random.random((CLASSES, *SIDE)).astype(np.float32)}, pixels("classes", random, False)
    if kind in ("runs", "polygons"):
        sides = [pixels("instances", random, False) for _ in range(2)]
        return tuple(_vectors(kind, side) for side in sides)
    return pixels(kind, random, volume), pixels(kind, random, volume)


def _vectors(kind, side):
    if kind == "runs":
        masks = runs_of(side["instances"])
        return {"masks": masks, "scores": side["scores"][: len(masks)]}
    import shapely

    ids = side["instances"]
    boxes = [[shapely.box(x, y, x + 1, y + 1) for y, x in np.argwhere(ids == n)] for n in range(1, ids.max() + 1)]
    found = [shapely.union_all(own) for own in boxes if own]
    return {"polygons": np.array(found, object), "confidence": side["confidence"][: len(found)]}


def valid_of(kind, random):
    shape = (4, *SIDE) if "volume" in kind else SIDE
    valid = random.random(shape) < 0.6
    valid[..., :2] = False  # whole objects, too
    return valid


def blanked(arrays, valid, kind):
    """The same without what does not count, by hand; of class maps only the pixels that do are left, in a row."""
    if "class" in kind or kind == "probabilities":
        return {"mask": arrays["mask"][..., valid][..., None, :]}
    return {
        name: np.where(valid, array, 0).astype(array.dtype) if name in ("mask", "instances") else array
        for name, array in arrays.items()
    }


def scores(metric, pairs):
    metric.reset()
    for name, (prediction, truth) in zip(IDS, pairs, strict=False):
        metric.add(name, prediction, truth)
    return [float(metric.compute()), *metric.scores().values(), *metric.by_class()]


@pytest.mark.parametrize("name", [name for name, (_, kind) in PIXELS.items() if kind not in ("runs", "polygons")])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_lies_under_void_changes_no_score(name, seed):
    build, kind = PIXELS[name]
    random = np.random.default_rng(seed)
    one, other, by_hand = [], [], []
    for _ in IDS:
        valid, given_pair, fresh_pair = valid_of(kind, random), both(kind, random), both(kind, random)
        changed_pair = [
            {
                key: np.where(valid, array, fresh[key]) if key in ("mask", "instances") else array
                for key, array in arrays.items()
            }
            for arrays, fresh in zip(given_pair, fresh_pair, strict=True)
        ]
        one.append((given_pair[0], given_pair[1] | {"valid": valid}))
        other.append((changed_pair[0], changed_pair[1] | {"valid": valid}))
        by_hand.append([blanked(side, valid, kind) for side in given_pair])
    expected = scores(build(), one)
    np.testing.assert_array_equal(scores(build(), other), expected)
    np.testing.assert_allclose(scores(build(), by_hand), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["runs", "polygons"])
def test_runs_and_polygons_score_as_their_pixels_do(kind):
    if kind == "polygons":
        pytest.importorskip("shapely")
    name = {"runs": "MaskAveragePrecision", "polygons": "SpaceNetF1"}[kind]
    for seed in range(20):
        random = np.random.default_rng(seed)
        valid = valid_of(kind, random)
        prediction, truth = (pixels("instances", random, False) for _ in range(2))
        for side in (prediction, truth):  # ids without gaps, as polygons number them
            side["instances"] = np.unique(side["instances"], return_inverse=True)[1].reshape(SIDE).astype(np.int32)
        raster = SpaceNetF1(None, 0.3, 0) if kind == "polygons" else PIXELS[name][0]()
        vectors = PIXELS[f"{name} of {kind}"][0]()
        expected = scores(raster, [(prediction, truth | {"valid": valid})])
        found = scores(vectors, [(_vectors(kind, prediction), _vectors(kind, truth) | {"valid": valid})])
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", PIXELS)
def test_an_image_of_which_no_pixel_counts_changes_no_score(name):
    build, kind = PIXELS[name]
    random, metric = np.random.default_rng(3), build()
    if kind == "polygons":
        pytest.importorskip("shapely")
    pairs = []
    for _ in range(2):
        prediction, truth = both(kind, random)
        pairs.append((prediction, truth | {"valid": valid_of(kind, random)}))
    prediction, truth = both(kind, random)
    nothing = prediction, truth | {"valid": np.zeros_like(pairs[0][1]["valid"])}
    expected = scores(metric, pairs)[0]
    if name != "DiceHausdorff":  # a slice more makes a larger volume
        assert scores(metric, [*pairs, nothing])[0] == expected
    metric.reset()
    metric.add("case2_day1_slice_0001", *nothing)
    for image_id, pair in zip(IDS, pairs, strict=False):
        metric.add(image_id, *pair)
    assert float(metric.compute()) == expected


@pytest.mark.parametrize("name", PIXELS)
def test_valid_everywhere_is_as_no_valid(name):
    build, kind = PIXELS[name]
    if kind == "polygons":
        pytest.importorskip("shapely")
    prediction, truth = both(kind, np.random.default_rng(0))
    everywhere = truth | {"valid": np.ones((4, *SIDE) if "volume" in kind else SIDE, bool)}
    assert scores(build(), [(prediction, everywhere)]) == scores(build(), [(prediction, truth)])


@pytest.mark.parametrize("name", [name for name, (_, kind) in PIXELS.items() if "class" in name and kind == "classes"])
def test_class_number_255_never_counts(name):
    build, kind = PIXELS[name]
    prediction, truth = both(kind, np.random.default_rng(1))
    void = np.random.default_rng(2).random(SIDE) < 0.3
    marked = {"mask": np.where(void, 255, truth["mask"])}
    expected = scores(build(), [(prediction, truth | {"valid": ~void})])
    assert scores(build(), [(prediction, marked)]) == expected
    nothing = {"mask": np.full(SIDE, 255)}
    assert scores(build(), [(prediction, marked), (prediction, nothing)])[0] == expected[0]


@pytest.mark.parametrize("side", ["prediction", "target"])
def test_a_number_that_is_no_class_is_told(side):
    arrays = {"prediction": np.zeros((2, 2), int), "target": np.zeros((2, 2), int)}
    arrays[side][0, 1] = 3
    with pytest.raises(ValueError, match=rf"{side} 'mask' has class 3, expected 0 to 2"):
        IoUGlobal(classes=3).image({"mask": arrays["prediction"]}, {"mask": arrays["target"]})


def test_valid_of_another_size_is_told():
    numbers = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match=r"'valid' is \(3, 3\), expected \(2, 2\)"):
        IoUGlobal(classes=2).image({"mask": numbers}, {"mask": numbers, "valid": np.zeros((3, 3), bool)})


def test_scripts_give_valid_beside_the_batch():
    predicted, true = np.ones((2, 1, 2, 2), bool), np.zeros((2, 1, 2, 2), bool)
    true[..., 0] = True
    metric = IoUGlobal()
    metric.update(predicted, true, valid=true[:, 0])
    assert float(metric.compute()) == 1


def test_labels_and_boxes_do_not_look_at_valid():
    valid = {"valid": np.zeros((1, 4), bool)}
    label = {"label": np.array([1, 0])}
    assert flags(label | valid, "label", "target").tolist() == [True, False]
    boxes = {"boxes": np.array([[0, 0, 2, 2, 1, 0.0]])}
    metric = metrics.BoxPrecision()
    metric.add("a", boxes, {"boxes": np.array([[0, 0, 2, 2.0]])} | valid)
    assert float(metric.compute()) == 1
    row = metrics.BoxAveragePrecision(classes=1).image(boxes, {"boxes": np.array([[0, 0, 2, 2.0]])} | valid)
    assert row.shape == as_row(None).shape
    assert row[0].objects.tolist() == [1]
