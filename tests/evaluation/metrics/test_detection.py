"""Metrics of ranked boxes and masks against plain loops."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.interval import bootstrap_interval
from evaluation.metrics import BoxAveragePrecision, BoxPrecision, MaskAveragePrecision
from masks.run_length_masks import mask_overlaps, runs_of

NOTHING = [0, 0, 1, 1]


def iou(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def voc(detections, truths, overlap, enough):
    """Average precision of one class, line by line as the development kit of 2010 computes it.

    Args:
        detections: `(image, score, object)` in the order of the images.
        truths: image -> objects.
    """
    count = sum(map(len, truths.values()))
    if not count:
        return float("nan")
    taken, tp, fp, curve = set(), 0, 0, []
    for image, _, found in sorted(detections, key=lambda entry: -entry[1]):
        best, place = -1, None
        for number, wanted in enumerate(truths.get(image, [])):
            if overlap(found, wanted) > best:
                best, place = overlap(found, wanted), number
        if place is not None and enough(best) and (image, place) not in taken:
            taken.add((image, place))
            tp += 1
        else:
            fp += 1
        curve.append((tp / count, tp / (tp + fp)))
    recall = [0.0, *(r for r, _ in curve), 1.0]
    precision = [0.0, *(p for _, p in curve), 0.0]
    for number in range(len(precision) - 2, -1, -1):
        precision[number] = max(precision[number], precision[number + 1])
    return sum((recall[n] - recall[n - 1]) * precision[n] for n in range(1, len(recall)))


def scene(seed, classes=3):
    """True boxes, and predicted ones: shifted, missed, doubled, invented, with scores that are often equal."""
    random = np.random.default_rng(seed)
    share = 0.4 if random.random() < 0.8 else 0
    true = [[x, y, x + 8, y + 8] for x in (0, 10, 20) for y in (0, 10) if random.random() < share]
    labels = random.integers(0, classes, len(true))
    predicted = []
    for box, label in zip(true, labels, strict=True):
        for _ in range(random.integers(0, 3)):
            shift = random.integers(-4, 5, 4) / 2
            other = label if random.random() < 0.8 else random.integers(0, classes)
            predicted.append([*(np.array(box) + shift), random.integers(1, 10) / 10, other])
    if random.random() < 0.5:
        predicted.append([40, 40, 50, 50, random.integers(1, 10) / 10, random.integers(0, classes)])
    truth = {"boxes": np.array(true, np.float32).reshape(-1, 4), "labels": labels.astype(np.int64)}
    return {"boxes": np.array(predicted, np.float64).reshape(-1, 6)}, truth


@pytest.mark.parametrize("nothing", [None, 3])
def test_average_precision_equals_the_development_kit(nothing):
    metric = BoxAveragePrecision(classes=4, threshold=0.4, nothing=nothing)
    scenes = {f"{seed:03}": scene(seed) for seed in range(40)}
    detections, truths = {k: [] for k in range(4)}, {k: {} for k in range(4)}
    for name, (prediction, truth) in scenes.items():
        metric.add(name, prediction, truth)
        for *box, score, label in prediction["boxes"]:
            detections[int(label)].append((name, score, box))
        for box, label in zip(truth["boxes"], truth["labels"], strict=True):
            truths[int(label)].setdefault(name, []).append(box)
        if nothing is not None and not len(prediction["boxes"]):
            detections[nothing].append((name, 1.0, NOTHING))
        if nothing is not None and not len(truth["boxes"]):
            truths[nothing][name] = [NOTHING]
    expected = [voc(detections[k], truths[k], iou, lambda best: round(best, 9) > 0.4) for k in range(4)]
    assert metric.by_class() == pytest.approx(expected, nan_ok=True)
    assert float(metric.compute()) == pytest.approx(np.nanmean(expected))
    assert np.isnan(expected[3]) == (nothing is None)
    low, high = bootstrap_interval(metric, draws=20)
    assert low < float(metric.compute()) < high


def test_average_precision_by_hand():
    metric = BoxAveragePrecision(classes=1, threshold=0.4)
    true = {"boxes": np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32), "labels": np.zeros(2, np.int64)}
    found = np.array([[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 9, 0.8, 0], [20, 0, 30, 10, 0.7, 0]])
    # hit, a second box on the same object, hit: precision 1 up to half of the recall, then 2/3
    metric.add("x", {"boxes": found}, true)
    assert float(metric.compute()) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # an IoU of exactly the threshold is not above it
    metric.add("x", {"boxes": np.array([[0, 0, 4, 10, 1, 0]])}, {"boxes": np.array([[0, 0, 10, 10]])})
    assert float(metric.compute()) == 0
    assert metric.scores() == {"x": 0}


def rsna(predicted, true):
    """One image in plain loops; None where it does not count."""
    if not len(true):
        return 0.0 if len(predicted) else None
    scores = []
    for step in range(8):
        threshold, free, hits = 0.4 + 0.05 * step, list(range(len(true))), 0
        for box in sorted(predicted.tolist(), key=lambda box: -box[4]):
            best = max(free, key=lambda number: iou(box, true[number]), default=None)
            if best is not None and round(iou(box, true[best]), 9) > round(threshold, 9):
                free.remove(best)
                hits += 1
        scores.append(hits / (hits + (len(predicted) - hits) + len(free)))
    return float(np.mean(scores))


def test_pneumonia_equals_plain_loops():
    metric, expected = BoxPrecision(), {}
    for seed in range(60):
        prediction, truth = scene(seed)
        metric.add(f"{seed:03}", prediction, truth)
        score = rsna(prediction["boxes"], truth["boxes"])
        expected[f"{seed:03}"] = float("nan") if score is None else score
    assert metric.scores() == pytest.approx(expected, nan_ok=True)
    counted = [score for score in expected.values() if not np.isnan(score)]
    assert 0 < len(counted) < 60
    assert float(metric.compute()) == pytest.approx(np.mean(counted))


def test_the_more_confident_box_chooses_first():
    true = {"boxes": np.array([[0, 0, 10, 10]])}
    both = np.array([[0, 0, 10, 9, 0.2, 0], [0, 0, 10, 7, 0.9, 0]])
    # 0.7 is above .40 … .65, so the worse box takes the object there; at .70 and .75 the better one finds it free
    expected = np.mean([1 / 2] * 8)
    assert BoxPrecision().image({"boxes": both}, true)[0] == pytest.approx(expected)
    assert BoxPrecision().image({"boxes": both[1:]}, true)[0] == pytest.approx(6 / 8)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.ones((2, 5)), np.zeros((0, 4)), r"prediction 'boxes' is \(2, 5\), expected boxes \(n, 6\)"),
        (np.full((1, 6), np.nan), np.zeros((0, 4)), "prediction 'boxes': box 0 is not finite"),
        (np.zeros((0, 6)), np.ones((1, 3)), r"target 'boxes' is \(1, 3\)"),
        (np.array([[0, 0, 1, 1, 0.5, 2]]), np.zeros((0, 4)), "label of a box is 2, expected 0 to 1"),
    ],
)
def test_wrong_boxes(prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        BoxAveragePrecision(classes=2).image({"boxes": prediction}, {"boxes": truth})


# --- masks -----------------------------------------------------------------------------------------------------------


def cells(seed, classes=3):
    """True cells and predicted ones, some moved, some with other classes, some missing."""
    random = np.random.default_rng(seed)
    true, predicted = np.zeros((2, 24, 36), np.int32)
    for number in range(6):
        if random.random() < 0.3:
            continue
        row, column = 12 * (number // 3), 12 * (number % 3)
        true[row : row + 9, column : column + 9] = number + 1
        if random.random() < 0.85:
            down, right = random.integers(0, 4, 2)
            predicted[row + down : row + down + 9, column + right : column + right + 9] = number + 1
    flags = np.where(random.random((6, classes)) < 0.5, 1.0, np.nan)
    scores = np.where(random.random((6, classes)) < 0.8, random.integers(1, 10, (6, classes)) / 10, np.nan)
    return {"instances": predicted, "scores": scores}, {"instances": true, "scores": flags}


def masks_of(arrays, place):
    """Masks with a class, and their scores."""
    ids = [number for number in np.unique(arrays["instances"]) if number]
    pairs = [(arrays["instances"] == number, arrays["scores"][number - 1, place]) for number in ids]
    return [(mask, score) for mask, score in pairs if not np.isnan(score)]


def test_masks_equal_plain_loops():
    metric, scenes = MaskAveragePrecision(classes=3), {f"{seed:03}": cells(seed) for seed in range(12)}
    expected = []
    for place in range(3):
        detections, truths = [], {}
        for name, (prediction, truth) in scenes.items():
            detections += [(name, score, mask) for mask, score in masks_of(prediction, place)]
            truths[name] = [mask for mask, _ in masks_of(truth, place)]
        overlap = lambda one, other: (one & other).sum() / (one | other).sum()  # noqa: E731
        expected.append(voc(detections, truths, overlap, lambda best: round(best, 9) >= 0.6))
    for name, (prediction, truth) in scenes.items():
        metric.add(name, prediction, truth)
    assert 0 < np.mean(expected) < 1
    assert metric.by_class() == pytest.approx(expected)
    assert float(metric.compute()) == pytest.approx(np.mean(expected))


def test_masks_of_a_file_may_overlap():
    runs = np.empty(2, object)
    runs[0], runs[1] = np.array([[0], [10]]), np.array([[4], [10]])
    truth = {"instances": np.ones((10, 1), np.int32), "scores": np.ones((1, 1))}
    metric = MaskAveragePrecision(classes=1)
    metric.add("x", {"masks": runs, "scores": np.array([[0.5], [0.9]])}, truth)
    # the better ranked one covers exactly 0.6 and has found it; the perfect one comes too late
    assert float(metric.compute()) == 1
    metric.add("x", {"masks": runs[:1], "scores": np.array([[0.5]])}, {"masks": runs[1:], "scores": np.ones((1, 1))})
    assert float(metric.compute()) == 1
    with pytest.raises(ValueError, match=r"prediction 'scores' is \(1, 1\), expected \(2, 1\)"):
        metric.image({"masks": runs, "scores": np.ones((1, 1))}, truth)


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_of_runs_are_those_of_pixels(seed):
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 4, (2, 9, 13))
    one[one == 2] = 5  # ids need not follow each other
    found = mask_overlaps(runs_of(one), runs_of(other))
    for row in range(5):
        for column in range(3):
            p, t = one == row + 1, other == column + 1
            assert found[row, column] == pytest.approx((p & t).sum() / (p | t).sum())


# --- what need not be found ------------------------------------------------------------------------------------------


def crowded(seed, classes=2):
    """Objects apart from each other, regions over some of them, and detections here, there and twice."""
    random = np.random.default_rng(seed)
    places = [(x, y) for x in (0, 12, 24, 36) for y in (0, 12, 24) if random.random() < 0.4]
    true = np.array([[x, y, x + 8 + random.random(), y + 8 + random.random()] for x, y in places]).reshape(-1, 4)
    regions = random.uniform(0, 30, (random.integers(0, 4), 4))
    regions[:, 2:] = regions[:, :2] + random.uniform(5, 25, (len(regions), 2))
    found = [box + random.normal(0, 1, 4) for box in true for _ in range(random.integers(0, 3))]
    found += [[x, y, x + random.uniform(4, 14), y + random.uniform(4, 14)] for x, y in random.uniform(0, 45, (6, 2))]
    found += [box + random.normal(0, 2, 4) for box in regions]
    count = len(found)
    found = np.column_stack([found, random.permutation(count) / count, random.integers(0, classes, count)])
    truth = {
        "boxes": true,
        "labels": random.integers(0, classes, len(true)),
        "ignored_boxes": regions,
        "ignored_labels": random.integers(0, classes, len(regions)),
    }
    return found[(found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])], truth


def of_pycocotools(scenes, threshold):
    """By image and class: score and hit of each detection that counts."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, (found, truth) in enumerate(scenes, 1):
        for prefix, crowd in (("", 0), ("ignored_", 1)):
            for (x1, y1, x2, y2), label in zip(truth[f"{prefix}boxes"], truth[f"{prefix}labels"], strict=True):
                entry = {"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                annotations.append(
                    entry | {"iscrowd": crowd, "area": (x2 - x1) * (y2 - y1), "id": len(annotations) + 1}
                )
        for x1, y1, x2, y2, score, label in found:
            entry = {"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            results.append(entry | {"score": score})
    images = [{"id": image} for image in range(1, len(scenes) + 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "categories": [{"id": 1}, {"id": 2}], "annotations": annotations, "info": {}}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(results), "bbox")
        run.params.iouThrs, run.params.areaRng, run.params.areaRngLbl = np.array([threshold]), [[0, 1e10]], ["all"]
        run.evaluate()
    rows = {}
    for part in filter(None, run.evalImgs):
        counted = ~np.asarray(part["dtIgnore"][0], bool)
        pairs = zip(part["dtScores"], np.asarray(part["dtMatches"][0]) > 0, counted, strict=True)
        rows[part["image_id"], part["category_id"]] = sorted((s, bool(hit)) for s, hit, own in pairs if own)
    return rows


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.3, 0.5, 0.75]))
def test_crowds_count_as_pycocotools_has_it(seed, threshold):
    pytest.importorskip("pycocotools")
    scenes = [crowded([seed, number]) for number in range(4)]
    metric, expected = BoxAveragePrecision(classes=2, threshold=threshold), of_pycocotools(scenes, threshold)
    for image, (found, truth) in enumerate(scenes, 1):
        for crowd in ({}, {"ignored_crowd": np.ones(len(truth["ignored_boxes"]), bool)}):
            row = metric.image({"boxes": found}, truth | crowd)[0].detections
            for label in (0, 1):
                own = sorted((score, bool(hit)) for _, score, hit in row[row[:, 0] == label].tolist())
                assert own == [pytest.approx(pair) for pair in expected.get((image, label + 1), [])]


def difficult_voc(detections, truths, regions, enough):
    """As `voc`; a detection that overlaps a difficult object most is passed over, as the development kit has it."""
    left = []
    for image, score, found in detections:
        best = max((iou(found, wanted) for wanted in truths.get(image, [])), default=-1)
        hard = max((iou(found, wanted) for wanted in regions.get(image, [])), default=-1)
        if not (hard > best and enough(hard)):
            left.append((image, score, found))
    return voc(left, truths, iou, enough)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_difficult_objects_count_as_the_development_kit_has_it(seed):
    metric = BoxAveragePrecision(classes=2, threshold=0.5)
    detections, truths, regions = ({0: [], 1: []}, {0: {}, 1: {}}, {0: {}, 1: {}})
    for number in range(4):
        found, truth = crowded([seed, number])
        metric.add(
            f"{number}", {"boxes": found}, truth | {"ignored_crowd": np.zeros(len(truth["ignored_boxes"]), bool)}
        )
        for *box, score, label in found:
            detections[int(label)].append((f"{number}", score, box))
        for prefix, places in (("", truths), ("ignored_", regions)):
            for box, label in zip(truth[f"{prefix}boxes"], truth[f"{prefix}labels"], strict=True):
                places[int(label)].setdefault(f"{number}", []).append(box)
    expected = [difficult_voc(detections[k], truths[k], regions[k], lambda best: best > 0.5) for k in (0, 1)]
    assert metric.by_class() == pytest.approx(expected, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), crowd=st.booleans())
def test_boxes_of_what_need_not_be_found_change_no_precision(seed, crowd):
    found, truth = crowded(seed, classes=1)
    flags = {"ignored_crowd": np.full(len(truth["ignored_boxes"]), crowd)}
    metric = BoxPrecision(thresholds=[0.4, 0.6])
    scores = []
    for threshold in metric.thresholds:
        free, hits, counted = [list(box) for box in truth["boxes"]], 0, 0
        for *box, _, _ in found[np.argsort(-found[:, 4])].tolist():
            best = max(free, key=lambda wanted: iou(box, wanted), default=None)
            if best is not None and iou(box, best) > threshold:
                free.remove(best)
                hits += 1
            elif max((share(box, region, crowd) for region in truth["ignored_boxes"]), default=0) > threshold:
                continue
            counted += 1
        total = counted + len(truth["boxes"]) - hits
        scores += [hits / total] if total else []
    expected = np.mean(scores) if scores else np.nan
    assert metric.image({"boxes": found}, truth | flags)[0] == pytest.approx(expected, nan_ok=True)


def share(box, region, crowd):
    if not crowd:
        return iou(box, region)
    wide, high = min(box[2], region[2]) - max(box[0], region[0]), min(box[3], region[3]) - max(box[1], region[1])
    return max(wide, 0) * max(high, 0) / ((box[2] - box[0]) * (box[3] - box[1]))


def test_an_image_of_crowds_alone_has_nothing_to_find():
    region = {"ignored_boxes": np.array([[0, 0, 50, 50]], np.float32), "boxes": np.zeros((0, 4)), "labels": np.zeros(0)}
    inside, outside = np.array([[1, 1, 9, 9, 0.9, 0]]), np.array([[60, 60, 70, 70, 0.9, 0]])
    for metric, nothing in ((BoxAveragePrecision(2), 1.0), (BoxPrecision(), np.nan)):
        right = metric.image({"boxes": inside}, region)
        assert metric.image_score(right) == pytest.approx(nothing, nan_ok=True)
        assert metric.image_score(metric.image({"boxes": outside}, region)) == 0
    metric = BoxAveragePrecision(2, nothing=1)
    assert metric.reduce(metric.image({"boxes": inside}, region)[None]) == 1  # the box of the class that says so
    with pytest.raises(ValueError, match="'ignored_labels' is"):
        metric.image({"boxes": inside}, region | {"ignored_labels": np.zeros(3)})
    with pytest.raises(ValueError, match="'ignored_boxes' is"):
        metric.image({"boxes": inside}, region | {"ignored_boxes": np.zeros((2, 6))})


def test_classes_of_masks_from_a_class_map():
    """The same score as with the classes as scores; a mask has the most frequent class of its pixels."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 4, 0), 4, 1)
    kinds = rng.integers(0, 3, 16)
    numbers = np.where(ids > 0, kinds[ids] + 1, 0)
    numbers[::4] = 0  # some pixels are void or of another class
    numbers[1::4] = np.where(ids[1::4] > 0, 1, 0)
    scores = np.where(np.arange(3) == kinds[1:, None], 1.0, np.nan)
    found = np.where(rng.random((15, 3)) < 0.5, rng.random((15, 3)), np.nan)
    prediction = {"instances": ids, "scores": found}
    by_map = MaskAveragePrecision(3, 0.5, class_map="kind")
    rows = by_map.image(prediction, {"instances": ids, "kind": numbers})[None]
    expected = MaskAveragePrecision(3, 0.5).image(prediction, {"instances": ids, "scores": scores})[None]
    assert by_map.reduce(rows) == MaskAveragePrecision(3, 0.5).reduce(expected)
    np.testing.assert_array_equal(by_map.class_scores(rows), by_map.class_scores(expected))
