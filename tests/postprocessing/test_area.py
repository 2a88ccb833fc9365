import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.morphology import remove_small_objects

from postprocessing import MinimumArea
from postprocessing.area import large_components

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))


def one_by_one(mask, pixels):
    result = np.zeros_like(mask)
    for channel, plane in enumerate(mask):
        labels, number = ndimage.label(plane)
        for component in range(1, number + 1):
            if (labels == component).sum() >= pixels:
                result[channel] |= labels == component
    return result


@settings(max_examples=200, deadline=None)
@given(MASKS, st.integers(0, 12))
def test_components_one_by_one(mask, pixels):
    result = MinimumArea(pixels)({"mask": mask})["mask"]
    assert result.dtype == bool
    np.testing.assert_array_equal(result, one_by_one(mask, pixels))


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(np.int32, st.tuples(st.integers(1, 10), st.integers(1, 10)), elements=st.sampled_from([0, 1, 2, 70])),
    st.integers(0, 12),
)
def test_instances_one_by_one(labels, pixels):
    result = MinimumArea(pixels, "instances")({"instances": labels})["instances"]
    wanted = labels.copy()
    for number in np.unique(labels):
        if (labels == number).sum() < pixels:
            wanted[labels == number] = 0
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, wanted)


def test_an_instance_in_two_pieces_is_one_object():
    labels = np.array([[5, 0, 5], [0, 0, 0], [7, 0, 5]], np.int32)
    result = MinimumArea(3, "instances")({"instances": labels})["instances"]
    assert result.tolist() == [[5, 0, 5], [0, 0, 0], [0, 0, 5]]


def test_the_whole_mask_is_emptied_channel_by_channel():
    mask = np.zeros((2, 4, 4), bool)
    mask[0, :2, :2] = True  # one piece of 4
    mask[1, ::2, ::2] = mask[1, 3, 3] = True  # five pieces of 1
    result = MinimumArea(5, total=True)({"mask": mask})["mask"]
    assert not result[0].any()
    np.testing.assert_array_equal(result[1], mask[1])
    assert not MinimumArea(5)({"mask": mask})["mask"].any()


@pytest.mark.parametrize(("pixels", "left"), [(6, 6), (7, 0)])
def test_the_whole_label_image_is_emptied(pixels, left):
    labels = np.array([[1, 1, 0, 2, 2, 2, 0, 3]], np.int32)
    result = MinimumArea(pixels, "instances", total=True)({"instances": labels})["instances"]
    assert np.count_nonzero(result) == left
    assert result.dtype == np.int32


def test_a_negative_area_is_refused():
    with pytest.raises(ValueError, match="pixels is -1"):
        MinimumArea(-1)


def test_the_search_tries_areas_around_the_configured_one():
    assert MinimumArea(100).search_space() == {"pixels": [0, 25, 50, 75, 100, 150, 200, 300, 400]}
    assert max(MinimumArea(0).search_space()["pixels"]) == 80


def test_an_area_for_each_channel():
    mask = np.zeros((2, 4, 4), bool)
    mask[:, 0, :2] = True
    assert MinimumArea([2, 3])({"mask": mask})["mask"].sum((1, 2)).tolist() == [2, 0]
    assert MinimumArea([3, 2], total=True)({"mask": mask})["mask"].sum((1, 2)).tolist() == [0, 2]
    step = MinimumArea([20, 100])
    assert step.search_space()["pixels[1]"] == [0, 25, 50, 75, 100, 150, 200, 300, 400]
    assert step.replaced(**{"pixels[1]": 50}).pixels == [20, 50]


def test_wrong_numbers_of_areas_are_refused():
    with pytest.raises(ValueError, match=r"\[5, -1\]"):
        MinimumArea([5, -1])
    with pytest.raises(ValueError, match="pixels has 3 values, expected 2"):
        MinimumArea([1, 2, 3])({"mask": np.zeros((2, 4, 4), bool)})
    with pytest.raises(ValueError, match="has instances; give one"):
        MinimumArea([1], "mask")({"mask": np.zeros((4, 4), np.int32)})


def test_more_components_than_sixteen_bits_hold():
    """Whole, and as teeth of combs, which a scan begins one by one and joins only in the row below."""
    dots = np.zeros((600, 600), bool)
    dots[::2, ::2] = True
    dots[0, :3] = True
    combs = np.zeros((1000, 600), bool)
    combs[::4, ::2] = combs[1::4] = True
    for mask in (dots, combs, np.asfortranarray(dots), combs[:, ::-1]):
        np.testing.assert_array_equal(large_components(mask, 3), remove_small_objects(mask, max_size=2))
