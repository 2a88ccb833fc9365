"""COCO's run lengths against pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masks import coco_rle
from masks.run_length_masks import runs_of

MASKS = st.tuples(st.integers(1, 70), st.integers(1, 12)).flatmap(
    lambda size: st.one_of(arrays(bool, size), st.sampled_from([np.ones(size, bool), np.eye(*size, dtype=bool)]))
)


@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_equal_to_pycocotools_and_back(mask):
    coco = pytest.importorskip("pycocotools.mask")
    found = runs_of(mask.astype(np.uint8))
    runs = found[0] if found else np.zeros((2, 0), np.int64)
    text = coco_rle.encode(runs, mask.size)
    assert text == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    again = coco_rle.decode(text, mask.size)
    np.testing.assert_array_equal(again, runs)


def test_large_masks_and_long_gaps():
    coco = pytest.importorskip("pycocotools.mask")
    labels = np.zeros((900, 1100), np.int32)
    labels[3, 5], labels[880:, 1000:], labels[400:500:7, 200:900:3] = 1, 2, 3
    for number, runs in enumerate(runs_of(labels), 1):
        mask = labels == number
        text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        assert coco_rle.encode(runs, labels.size) == text
        np.testing.assert_array_equal(coco_rle.decode(text, labels.size), runs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"4 ", "letter 1 is b' '"),
        (b"4P", "cut off within a number"),
        (b"41", "cover 5 pixels, expected 9"),
        (b"4O9", "count 2 is -1, expected 0 or more"),
    ],
)
def test_what_is_no_mask(text, message):
    with pytest.raises(ValueError, match=message):
        coco_rle.decode(text, 9)
