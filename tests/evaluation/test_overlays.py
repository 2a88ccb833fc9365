"""Overlays: which pixels change, and to which colour."""

import numpy as np
import pytest

from evaluation.colours import colour_of
from evaluation.overlays import FILL, draw_boxes, draw_classes, draw_ids, draw_masks

IMAGE = np.full((40, 60, 3), 100, np.uint8)


def blended(number):
    return (np.full(3, 100 * (1 - FILL)) + FILL * np.array(colour_of(number))).astype(np.uint8)


@pytest.mark.parametrize("names", [[], ["background", "a", "b"], ["sky", "a", "b"]])
def test_classes_are_filled_and_the_background_only_if_it_has_a_name(names):
    numbers = np.zeros((40, 60), np.int64)
    numbers[10:30, 10:50] = 2
    drawn = draw_classes(IMAGE, numbers, names)
    assert (drawn[12:28, 12:48] == blended(2)).all()
    assert (drawn[10, 10:50] == colour_of(2)).all()
    outside = drawn[:8]
    assert (outside == (blended(0) if names[:1] == ["sky"] else 100)).all()


def test_masks_have_the_colour_of_their_channel():
    masks = np.zeros((2, 40, 60), bool)
    masks[1, 10:30, 10:50] = True
    drawn = draw_masks(IMAGE, masks)
    assert (drawn[15:25, 15:45] == blended(1)).all()
    assert (drawn[:8] == 100).all()


def test_touching_objects_are_separated():
    ids = np.zeros((40, 60), np.int32)
    ids[10:30, 10:30], ids[10:30, 30:50] = 1, 8  # the same colour
    drawn = draw_ids(IMAGE, ids)
    assert (drawn[15, 29] != drawn[15, 25]).any()
    assert (drawn[15, 25] == drawn[15, 35]).all()


@pytest.mark.parametrize("dashed", [False, True])
def test_boxes_have_the_colour_of_their_class_and_stay_inside(dashed):
    boxes = np.array([[10, 10, 30, 25, 0.9, 3], [-20, -5, 500, 300, 0.4, 1]], np.float64)
    drawn = draw_boxes(IMAGE, boxes, dashed=dashed, labels=False)
    frame = (drawn[10, 10:30] == colour_of(3)).all(-1)
    assert frame.all() if not dashed else 0.3 < frame.mean() < 0.7
    assert (drawn[14:21, 14:26] == 100).all()
    assert (drawn[0] == colour_of(1)).all(-1).any()
    assert (IMAGE == 100).all()


def test_labels_do_not_cover_each_other():
    crowd = np.array([[10, 20, 30, 35, score, 0] for score in (0.1, 0.5, 0.9)], np.float64)
    one = draw_boxes(IMAGE, crowd[2:], scores=True)
    np.testing.assert_array_equal(draw_boxes(IMAGE, crowd, scores=True), one)
    assert (draw_boxes(IMAGE, crowd[2:], ["cell"], scores=True) != one).any()
    assert (draw_boxes(IMAGE, crowd[:0], ["cell"]) == 100).all()
