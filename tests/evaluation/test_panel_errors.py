"""Errors of a panel: which boxes match, and which classes are confused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.panel_errors import confusion_text, match_boxes

TRUE = np.array([[10.0, 10, 30, 30, 1, 0], [50, 50, 70, 70, 1, 1], [80, 10, 90, 20, 1, 1]])


def test_boxes_match_their_own_class_first():
    found = np.array([[10, 10, 30, 30, 0.9, 1], [11, 10, 31, 30, 0.5, 0], [50, 50, 70, 70, 0.8, 0], [0, 0, 5, 5, 1, 0]])
    taken, chosen = match_boxes(TRUE, found)
    assert taken.tolist() == [True, True, False]
    assert chosen.tolist() == [-1, 0, 1, -1]
    taken, chosen = match_boxes(TRUE[:0], found)
    assert chosen.tolist() == [-1] * 4
    assert not len(taken)


@given(arrays(np.int64, (6, 7), elements=st.integers(0, 4)), arrays(np.int64, (6, 7), elements=st.integers(0, 4)))
def test_the_largest_confusion_is_that_of_a_plain_count(target, prediction):
    names = ["sky", "road", "tree", "car", "person"]
    counts = {
        (one, other): int(((target == one) & (prediction == other)).sum())
        for one in range(5)
        for other in range(5)
        if one != other
    }
    text, most = confusion_text(target, prediction, None, names), max(counts.values())
    told = {
        f"{count / (target == one).sum():.0%} of {names[one]} as {names[other]}"
        for (one, other), count in counts.items()
        if count == most and count
    }
    assert text in told if most else text == ""


@pytest.mark.parametrize("kind", ["masks", "ids"])
def test_masks_and_objects_have_no_classes_to_confuse(kind):
    array = np.ones((2, 4, 4), bool) if kind == "masks" else np.ones((4, 4), np.int32)
    assert confusion_text(array, array) == ""


def test_void_pixels_are_not_confused():
    target, prediction = np.full((4, 4), 1), np.full((4, 4), 1)
    prediction[:2] = 2
    valid = np.ones((4, 4), bool)
    assert confusion_text(target, prediction, valid) == "50% of class 1 as class 2"
    valid[:2] = False
    assert confusion_text(target, prediction, valid) == ""
