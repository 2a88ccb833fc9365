"""Masks and boxes after an image was moved by somebody else, told by the numbers of its pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augmentations.pixel_map import follow, pixel_numbers, refuse_floats

SIZE = (6, 8)


@given(seed=st.integers(0, 10**6), outside=st.booleans())
def test_every_pixel_takes_what_its_number_says(seed, outside):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0 if outside else 1, SIZE[0] * SIZE[1] + 1, (5, 7)).astype(np.int32)
    arrays = {
        "mask": rng.integers(0, 9, (2, *SIZE)).astype(np.uint8),
        "ids": rng.integers(-(2**40), 2**40, SIZE),
        "label": np.array(3),
    }
    found = follow(arrays, numbers, SIZE)
    for row, column in np.ndindex(*numbers.shape):
        number = numbers[row, column]
        place = divmod(number - 1, SIZE[1])
        assert found["ids"][row, column] == (arrays["ids"][place] if number else 0)
        assert (found["mask"][:, row, column] == (arrays["mask"][(..., *place)] if number else 0)).all()
    assert found["ids"].dtype == np.int64
    assert found["label"] is arrays["label"]
    if (numbers == 0).any():
        np.testing.assert_array_equal(found["valid"], numbers > 0)
    else:
        assert "valid" not in found


def test_an_image_that_did_not_move_changes_nothing():
    arrays = {"mask": np.zeros(SIZE, np.uint8), "boxes": np.array([[0, 0, 2, 2.0]])}
    assert follow(arrays, pixel_numbers(SIZE), SIZE) is arrays


def test_boxes_follow_a_mirror_and_are_cut_by_a_crop():
    arrays = {"boxes": np.array([[1.0, 2, 4, 5], [6, 0, 8, 2]]), "labels": np.array([7, 9])}
    mirrored = follow(arrays, pixel_numbers(SIZE)[:, ::-1], SIZE)
    assert mirrored["boxes"].tolist() == [[4, 2, 7, 5], [0, 0, 2, 2]]
    cut = follow(arrays, pixel_numbers(SIZE)[3:, 2:6], SIZE)
    assert cut["boxes"].tolist() == [[0, 0, 2, 2]]
    assert cut["labels"].tolist() == [7]


def test_void_that_is_there_moves_like_a_mask():
    valid = np.ones(SIZE, bool)
    valid[0, 0] = False
    numbers = pixel_numbers(SIZE)[:, ::-1].copy()
    numbers[5, 5] = 0
    found = follow({"valid": valid}, numbers, SIZE)["valid"]
    assert np.argwhere(~found).tolist() == [[0, 7], [5, 5]]


def test_maps_of_floats_are_refused():
    arrays = {"heat": np.zeros(SIZE, np.float32)}
    refuse_floats("Policy", arrays, [])
    with pytest.raises(ValueError, match="Policy samples .* 'heat' is float32 .* use augmentations.Geometry"):
        refuse_floats("Policy", arrays, ["heat"])
