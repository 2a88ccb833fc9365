import numpy as np
import pytest

from ensembling.box_rules import double_score, general, merge_boxes
from masks.boxes import above, nms, shrink, weigh, weighted_box_fusion


def test_the_general_rule_by_hand():
    one = [[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.6, 0]]
    other = [[0, 0, 10, 12, 0.7, 0], [50, 50, 60, 60, 0.4, 1]]
    boxes, found_by = general([one, other], iou=0.4)
    np.testing.assert_allclose(boxes, [[0, 0, 10, 11, 0.8, 0], [50, 50, 60, 60, 0.6, 0], [50, 50, 60, 60, 0.4, 1]])
    np.testing.assert_allclose(found_by, [1, 0.5, 0.5])  # votes of two detectors
    np.testing.assert_allclose(double_score(boxes, found_by)[:, 4], [0.8, 0.3, 0.2])
    # weights move the mean, and are what is returned
    boxes, found_by = general([one, other], iou=0.4, weights=[3, 1])
    np.testing.assert_allclose(boxes[0], [0, 0, 10, 10.5, 0.85, 0])
    np.testing.assert_allclose(found_by, [1, 0.75, 0.25])


def test_the_general_rule_takes_the_nearest_free_box_of_each_detector_once():
    one = [[0, 0, 10, 10, 0.9, 0], [1, 0, 11, 10, 0.5, 0]]
    other = [[2, 0, 12, 10, 0.8, 0]]
    boxes, found_by = general([one, other])
    np.testing.assert_allclose(boxes[:, :2], [[1, 0], [1, 0]])
    np.testing.assert_allclose(found_by, [1, 0.5])
    # the overlap must be above the limit: that of halves that overlap by a third is not above a third
    halves = [[[0, 0, 2, 1, 0.5, 0]], [[1, 0, 3, 1, 0.5, 0]]]
    assert len(general(halves, iou=1 / 3)[0]) == 2
    assert len(general(halves, iou=0.33)[0]) == 1


def test_shrinking_keeps_the_centre():
    boxes = np.array([[10, 20, 50, 100, 0.9, 0], [0, 0, 0, 8, 0.2, 1]])
    result = shrink(boxes)
    np.testing.assert_allclose((result[:, :2] + result[:, 2:4]) / 2, (boxes[:, :2] + boxes[:, 2:4]) / 2)
    np.testing.assert_allclose(result[:, 2:4] - result[:, :2], (boxes[:, 2:4] - boxes[:, :2]) * 0.875)
    area = np.prod(result[0, 2:4] - result[0, :2]) / np.prod(boxes[0, 2:4] - boxes[0, :2])
    assert area == pytest.approx(0.766, abs=1e-3)
    np.testing.assert_array_equal(result[:, 4:], boxes[:, 4:])


def test_a_classifier_gates_boxes():
    boxes = np.array([[0, 0, 5, 5, 0.9, 0], [9, 9, 15, 15, 0.2, 0]])
    assert not len(above(weigh(boxes, 0), 0))
    np.testing.assert_array_equal(weigh(boxes, 1), boxes)
    np.testing.assert_allclose(above(weigh(boxes, 0.5), 0.15)[:, 4], [0.45])
    # the order matters: cutting first keeps what weighing first drops
    assert len(weigh(above(boxes, 0.15), 0.5)) == 2
    with pytest.raises(ValueError, match="0..1"):
        weigh(boxes, 1.5)
    with pytest.raises(ValueError, match="factor is 0"):
        shrink(boxes, 0)


def test_fifty_detectors_are_merged():
    random = np.random.default_rng(0)
    truth = np.array([[10, 10, 40, 40], [60, 20, 90, 70]], float)
    detections = [
        np.column_stack([truth + random.normal(0, 1, truth.shape), random.uniform(0.6, 0.9, 2), [0, 0]])
        for _ in range(50)
    ]
    for rule in ("wbf", "nmw", "general"):
        merged = merge_boxes(detections, rule, 0.5)
        assert merged.dtype == np.float32
        assert merged.shape == (2, 6)
        np.testing.assert_allclose(merged[np.argsort(merged[:, 0]), :4], truth, atol=0.6)
        assert (merged[:, 4] > 0.65).all()
    np.testing.assert_allclose(merge_boxes(detections, "nms", 0.5), nms(np.concatenate(detections), 0.5), rtol=1e-6)
    np.testing.assert_allclose(
        merge_boxes(detections[:3], "wbf", 0.5), weighted_box_fusion(detections[:3], iou=0.5), rtol=1e-6
    )
    with pytest.raises(ValueError, match="rule of boxes is 'vote'"):
        merge_boxes(detections, "vote", 0.5)
