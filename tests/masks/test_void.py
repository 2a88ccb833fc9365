"""One valid for each image, and no truth under it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from masks.void import VOID, blanked, foreground, joined

SIZE = (5, 7)
FLAGS = arrays_of.arrays(bool, SIZE)


@given(st.lists(FLAGS, max_size=3), FLAGS | st.none(), st.integers(0, 2**32 - 1))
def test_a_pixel_counts_where_everybody_says_so(flags, reader, seed):
    random = np.random.default_rng(seed)
    parts = [{f"mask{n}": random.integers(0, 2, (2, *SIZE), np.uint8), "valid": valid} for n, valid in enumerate(flags)]
    parts.append({"classes": random.integers(0, 4, SIZE), "ids": random.integers(0, 300, SIZE).astype(np.int32)})
    found = joined(parts, reader, SIZE)
    counted = np.ones(SIZE, bool)
    for valid in [*flags, *([] if reader is None else [reader])]:
        counted &= valid
    if counted.all():
        assert "valid" not in found
    else:
        np.testing.assert_array_equal(found["valid"], counted)
    for part in parts:
        for name in set(part) - {"valid"}:
            expected = np.where(counted, part[name], VOID if name == "classes" else 0)
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == part[name].dtype


def test_class_number_255_is_void_for_all_arrays():
    classes = np.array([[0, 1, 255]])
    found = blanked({"mask": classes, "other": np.ones((1, 1, 3), bool), "depth": np.full((1, 3), 0.5)}, (1, 3))
    np.testing.assert_array_equal(found["valid"], [[True, True, False]])
    np.testing.assert_array_equal(found["other"], [[[True, True, False]]])
    np.testing.assert_array_equal(found["depth"], [[0.5, 0.5, 0]])
    ids = blanked({"instances": np.array([[0, 1, 255]], np.int32)}, (1, 3))  # the 255th object is one
    np.testing.assert_array_equal(ids["instances"], [[0, 1, 255]])
    assert "valid" not in ids


def test_volumes_and_what_does_not_lie_on_pixels():
    valid = np.zeros((2, 3, 4), bool)
    arrays = {"mask": np.ones((1, 2, 3, 4), np.uint8), "label": np.array(3), "boxes": np.ones((3, 4), np.float32)}
    found = blanked(arrays | {"valid": valid}, (2, 3, 4))
    assert not found["mask"].any()
    assert found["label"] == 3
    square = blanked({"boxes": np.ones((3, 4), np.float32), "valid": np.zeros((3, 4), bool)}, (3, 4))
    assert square["boxes"].all()


def test_a_file_may_tell_which_pixels_count():
    flags = np.array([[[1, 0, 1]]], np.uint8)
    np.testing.assert_array_equal(joined([{"valid": flags}], None, (1, 3))["valid"], flags[0] > 0)
    with pytest.raises(ValueError, match=r"`valid` is \(1, 3\), expected \(3, 1\)"):
        joined([{"valid": flags[0]}], None, (3, 1))


def test_foreground_counts():
    arrays = {"mask": np.array([[0, 2, 255]]), "valid": np.array([[True, True, False]]), "label": np.ones(4)}
    np.testing.assert_array_equal(foreground(arrays, "mask"), [[False, True, False]])
    assert foreground(arrays, "label").all()
