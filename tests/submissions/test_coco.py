"""COCO's results file, read by pycocotools."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation import BoxAveragePrecision, MaskAveragePrecision
from submissions import Coco, SubmissionError

SIZE = (40, 60)
NAMES = ["000000000139.jpg", "deep/000000000285.jpg", "other/x.png"]
IDS = {"000000000139": 139, "000000000285": 285, "x": 7}
SIZES = dict.fromkeys(IDS, SIZE)
CATEGORIES = [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}, {"id": 90, "name": "brush"}]
TABLE = pd.DataFrame({"image_id": list(IDS), "path": [f"data/test/{name}" for name in NAMES]})


def truth(rng, boxes_of=None):
    """A COCO file of images with up to four rectangles each; a crowd in the last image."""
    images = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for name, number in zip(NAMES, IDS.values(), strict=True)
    ]
    annotations = []
    for number in IDS.values():
        for place in range(4):
            x, y = int(rng.integers(0, 12)) + 15 * place, int(rng.integers(0, 25))
            w, h = int(rng.integers(2, 14 - x % 15 + 1)), int(rng.integers(2, 15))
            box = [x, y, min(w, SIZE[1] - x), h]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CATEGORIES[int(rng.integers(0, 3))]["id"],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(place == 3 and number == 7),
                    "segmentation": rle(box),
                }
            )
    return {"images": images, "categories": CATEGORIES, "annotations": annotations}


def rle(box):
    x, y, w, h = box
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    code = coco_mask.encode(mask)
    return {"size": list(code["size"]), "counts": code["counts"].decode()}


def mean_precision(file, results, kind, threshold):
    """pycocotools' AP at one IoU over all sizes."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(file))
        scored = COCOeval(known, known.loadRes(str(results)), kind)
        scored.params.iouThrs = np.array([threshold])
        scored.evaluate()
        scored.accumulate()
    found = scored.eval["precision"][0, :, :, 0, 2]
    found = found[:, (found > -1).any(axis=0)]
    return found


def predicted_boxes(content, rng):
    """Boxes near the true ones, and some elsewhere."""
    labels = {3: 0, 1: 1, 90: 2}
    found = {}
    for image_id, number in IDS.items():
        own = [one for one in content["annotations"] if one["image_id"] == number]
        boxes = [[*one["bbox"], rng.uniform(0.1, 1), labels[one["category_id"]]] for one in own]
        boxes += [[5, 5, 9, 7, rng.uniform(0.1, 1), int(rng.integers(0, 3))] for _ in range(2)]
        array = np.array(boxes, np.float32)
        array[:, 2:4] += array[:, :2]
        array[:, :4] += rng.normal(0, 0.3, (len(array), 4)).astype(np.float32)
        array[:, :4] = np.clip(array[:, :4], 0, [SIZE[1], SIZE[0]] * 2)
        found[image_id] = array
    found["x"] = np.zeros((0, 6), np.float32)
    return found


@pytest.fixture
def coco_file(tmp_path):
    content = truth(np.random.default_rng(3))
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return tmp_path / "truth.json", content


def test_boxes_are_what_pycocotools_reads_and_scores(tmp_path, coco_file):
    file, content = coco_file
    form = Coco(["car", "person", "brush"], file=str(file))
    form.begin(tmp_path / "s.json", TABLE)
    found, output = predicted_boxes(content, np.random.default_rng(0)), tmp_path / "s.json"
    form.write([(name, {"boxes": boxes}) for name, boxes in found.items()], output, None, SIZES)
    results = json.loads(output.read_text())
    assert {one["image_id"] for one in results} == {139, 285}
    assert {one["category_id"] for one in results} <= {1, 3, 90}
    again = form.read(output, SIZES)
    assert list(again["x"]["boxes"]) == []
    for name, boxes in found.items():
        order = np.argsort(-boxes[:, 4], kind="stable")
        np.testing.assert_allclose(again[name]["boxes"], boxes[order], atol=1e-5)
    # The same matches and precisions as COCO's own code, which reads the precision at 101 recalls.
    targets = form.read(file, SIZES)
    assert targets["x"]["ignored_boxes"].shape == (1, 4)
    metric = BoxAveragePrecision(3, threshold=0.499999)
    for name in targets:
        metric.add(name, again[name], targets[name])
    theirs = mean_precision(file, output, "bbox", 0.5).mean(axis=0)
    np.testing.assert_allclose([score for score in metric.by_class() if score == score], theirs[[1, 0, 2]], atol=0.02)


def test_masks_are_what_pycocotools_reads_and_scores(tmp_path, coco_file):
    file, content = coco_file
    form = Coco(kind="masks", file=str(file))
    form.begin(tmp_path / "s.json", TABLE)
    rng, predictions, order = np.random.default_rng(5), {}, [1, 3, 90]
    for image_id, number in IDS.items():
        own = [one for one in content["annotations"] if one["image_id"] == number]
        labels, scores = np.zeros(SIZE, np.int32), np.zeros((len(own) + 1, 3), np.float32)
        for place, one in enumerate(own, 1):
            x, y, w, h = one["bbox"]
            labels[y : y + h, x : x + w - 1] = place
            scores[place - 1, order.index(one["category_id"])] = rng.uniform(0.2, 1)
        labels[38:, 50:] = len(own) + 1
        scores[len(own), 1] = 0.4
        predictions[image_id] = {"instances": labels, "scores": scores}
    output = tmp_path / "s.json"
    form.write(predictions.items(), output, None, SIZES)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(file))
        read = known.loadRes(str(output))
    for image_id, number in IDS.items():
        own = read.loadAnns(read.getAnnIds([number]))
        total = sum(read.annToMask(one).astype(int) for one in own)
        np.testing.assert_array_equal(total, predictions[image_id]["instances"] > 0)
    again, targets = form.read(output, SIZES), form.read(file, SIZES)
    metric = MaskAveragePrecision(3, 0.5)
    for name in targets:
        metric.add(name, again[name], targets[name])
    theirs = mean_precision(file, output, "segm", 0.5).mean(axis=0)
    np.testing.assert_allclose([score for score in metric.by_class() if score == score], theirs, atol=0.02)


def test_polygons_and_plain_run_lengths_of_a_solution(tmp_path):
    content = truth(np.random.default_rng(0))
    one, two = content["annotations"][:2]
    x, y, w, h = one["bbox"]
    one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    mask = coco_mask.decode(two["segmentation"])
    flat = np.concatenate([[0], mask.T.ravel(), [1 - mask.T.ravel()[-1]]])
    counts = np.diff(np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1])])).tolist()
    two["segmentation"] = {"size": list(SIZE), "counts": counts}
    (tmp_path / "t.json").write_text(json.dumps(content))
    form = Coco(kind="masks", file=str(tmp_path / "t.json"))
    form.begin(tmp_path / "s.json", TABLE)
    found = form.read(tmp_path / "t.json", SIZES)["000000000139"]["masks"]
    for runs, annotation in zip(found, content["annotations"], strict=False):
        x, y, w, h = annotation["bbox"]
        expected = np.zeros(SIZE, bool)
        expected[y : y + h, x : x + w] = True
        painted = np.zeros(SIZE[0] * SIZE[1], bool)
        for first, end in runs.T:
            painted[first:end] = True
        np.testing.assert_array_equal(painted.reshape(SIZE[::-1]).T, expected)


def test_without_a_file_numbers_stay_numbers(tmp_path):
    form, box = Coco(["a", "b"]), np.array([[1, 2, 4, 8, 0.5, 1]], np.float32)
    form.begin(tmp_path / "s.json", TABLE)
    form.write([(name, {"boxes": box}) for name in IDS], tmp_path / "s.json", None, SIZES)
    entries = json.loads((tmp_path / "s.json").read_text())
    assert [entry["image_id"] for entry in entries] == [139, 285, "x"]
    assert entries[0] == {"image_id": 139, "category_id": 2, "bbox": [1, 2, 3, 6], "score": 0.5}
    np.testing.assert_allclose(form.read(tmp_path / "s.json", SIZES)["x"]["boxes"], box)


def test_a_sample_of_images_completes_the_check(tmp_path, coco_file):
    file, _ = coco_file
    form, empty = Coco(file=str(file)), {"boxes": np.zeros((0, 6), np.float32)}
    form.begin(tmp_path / "s.json", TABLE)
    form.write([(name, empty) for name in IDS], tmp_path / "s.json", file, SIZES)
    assert json.loads((tmp_path / "s.json").read_text()) == []
    for sample in (file, None):
        with pytest.raises(SubmissionError, match=r"1 ids without a prediction \['x'\]"):
            form.write([(name, empty) for name in list(IDS)[:2]], tmp_path / "t.json", sample, SIZES)
    assert not (tmp_path / "t.json").exists()


GOOD = {"image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (GOOD | {"image_id": 8}, "result 0: image_id 8 is not among the 3 images"),
        (GOOD | {"category_id": 2}, r"category_id of a result is 2, expected one of \[1, 3, 90\]"),
        (GOOD | {"bbox": [1, 2, 3]}, r"bbox of a result is \[1, 2, 3\]"),
        (GOOD | {"bbox": [1, 2, 0, 4]}, "has no area"),
        (GOOD | {"bbox": [58, 2, 3, 4]}, "exceeds the image of 60 x 40"),
        (GOOD | {"score": 1.5}, "score of a result is 1.5"),
        ({"category_id": 1}, "result 0: .* has no image_id"),
        (7, "result 0: 7 has no image_id"),
    ],
)
def test_results_of_others_are_checked(tmp_path, coco_file, entry, message):
    form = Coco(file=str(coco_file[0]))
    form.begin(tmp_path / "s.json", TABLE)
    (tmp_path / "s.json").write_text(json.dumps([entry]))
    with pytest.raises(SubmissionError, match=message):
        form.read(tmp_path / "s.json", SIZES)


def test_masks_of_another_size_and_missing_classes(tmp_path, coco_file):
    form = Coco(kind="masks", file=str(coco_file[0]))
    form.begin(tmp_path / "s.json", TABLE)
    for segmentation, message in (
        (
            {"size": [60, 40], "counts": "abc"},
            r"a result: .* size \(H, W\) \(60, 40\), but the image has \(40, 60\)",
        ),
        ({"size": [40, 60], "counts": 3}, "a result: segmentation has keys"),
        ({"size": [40, 60], "counts": [2400]}, "the mask of a result is empty"),
        ([[0, 0, 5, 0, 5]], "a result: a polygon has 5 numbers, expected pairs"),
        ([[0, 0, float("nan"), 0, 5, 5]], "a result: a polygon has the number nan"),
        ([[0, 0, 500, 0, 5, 5]], "far outside of its image"),
        ([["a", 0, 5, 0, 5, 5]], "a result: segmentation is .*'a'"),
        ([[0, 0, 5, 5]], "the mask of a result is empty"),
        (None, "a result has no segmentation"),
    ):
        (tmp_path / "s.json").write_text(json.dumps([GOOD | {"segmentation": segmentation}]))
        with pytest.raises(SubmissionError, match=message):
            form.read(tmp_path / "s.json", SIZES)
    labels = np.ones(SIZE, np.int32)
    with pytest.raises(SubmissionError, match="there are 3 classes: add a step.*InstanceClasses"):
        form.write([("x", {"instances": labels})], tmp_path / "s.json", None, None)
    with pytest.raises(SubmissionError, match="has no category 'bus'"):
        Coco(["bus"], file=str(coco_file[0])).write(
            [("x", {"boxes": np.array([[1, 2, 4, 8, 0.5, 0]], np.float32)})], tmp_path / "s.json", None, None
        )
