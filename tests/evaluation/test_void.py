import numpy as np
import pytest

from evaluation.void import nothing_counts, without_void

VALID = np.array([[True, False, True], [True, True, False]])


@pytest.mark.parametrize("truth", [{}, {"valid": np.ones((2, 3), bool)}])
def test_nothing_is_copied_where_all_pixels_count(truth):
    arrays = {"mask": np.ones((1, 2, 3), np.float32)}
    assert without_void(arrays, truth) is arrays


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 2, 3), 0.5, np.float32),
        np.full((1, 2, 3), np.nan, np.float32),
        np.ones((2, 2, 3), bool),
        np.full((2, 3), 7, np.int32),
        np.full((2, 3), 255, np.uint8),
    ],
)
def test_maps_masks_and_ids_are_0_where_no_pixel_counts(array):
    given = array.copy()
    found = without_void({"x": array}, {"valid": VALID})["x"]
    assert found.dtype == array.dtype
    assert not found[..., ~VALID].any()
    np.testing.assert_array_equal(found[..., VALID], array[..., VALID])
    np.testing.assert_array_equal(array, given)


def test_volumes():
    valid = np.zeros((2, 2, 3), bool)
    valid[1] = VALID
    maps = np.ones((3, 2, 2, 3), np.float32)
    found = without_void({"mask": maps, "ids": np.ones((2, 2, 3), np.int32)}, {"valid": valid})
    assert (found["mask"].astype(bool) == valid).all()
    assert (found["ids"].astype(bool) == valid).all()


def test_labels_boxes_and_other_names_are_left_alone():
    arrays = {"label": np.ones(3, np.float32), "boxes": np.ones((2, 6)), "odd": np.ones((2, 3), np.float32)}
    arrays |= {"small": np.ones((1, 2), bool), "other": np.ones((2, 3), bool)}
    found = without_void(arrays, {"valid": VALID}, ("label", "boxes", "odd", "small"))
    assert all(found[name] is array for name, array in arrays.items())


def test_whether_anything_counts():
    assert not nothing_counts({})
    assert not nothing_counts({"valid": VALID})
    assert nothing_counts({"valid": np.zeros((2, 3), bool)})
