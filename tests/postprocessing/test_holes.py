import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from postprocessing import FillHoles
from postprocessing.holes import filled

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def mask_reference(mask, max_area):
    inside, number = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    result = mask.copy()
    for hole in range(1, number + 1):
        if max_area is None or (inside == hole).sum() <= max_area:
            result |= inside == hole
    return result


@settings(max_examples=300, deadline=None)
@given(arrays.arrays(bool, SHAPES), st.sampled_from([None, 0, 1, 2, 5]))
def test_masks_equal_scipy(mask, max_area):
    # few pixels of background make more rings than fair coins do
    for version in (mask, mask | np.roll(mask, 1, 0)):
        result = FillHoles(max_area=max_area)({"mask": version[None]})["mask"]
        np.testing.assert_array_equal(result[0], mask_reference(version, max_area))


def instance_reference(labels, max_area):
    """Every hole of the foreground belongs to the instance that touches it and encloses it alone."""
    background, number = ndimage.label(labels == 0)
    whole = {i: ndimage.binary_fill_holes(labels == i) for i in np.unique(labels) if i}
    result = labels.copy()
    for hole in range(1, number + 1):
        pixels = background == hole
        touching = np.unique(labels[ndimage.binary_dilation(pixels) & ~pixels])
        around = [i for i in touching if whole[i][pixels].all()]
        assert len(around) <= 1
        if around and (max_area is None or pixels.sum() <= max_area):
            result[pixels] = around[0]
    return result


def rings(random):
    """Random rectangles' outlines painted over each other: holes, shared gaps, islands, nested rings."""
    labels = np.zeros((20, 20), np.int32)
    for number in random.permutation(12)[:8] + 1:
        top, left = random.integers(0, 16, 2)
        height, width = random.integers(2, 14, 2)
        box = np.zeros_like(labels, bool)
        box[top : top + height, left : left + width] = True
        box[top + 1 : top + height - 1, left + 1 : left + width - 1] = random.random() < 0.2
        labels[box] = number
    return labels


@pytest.mark.parametrize("max_area", [None, 4, 20])
def test_instances_equal_filling_each_alone(max_area):
    random = np.random.default_rng(0)
    filled = 0
    for _ in range(150):
        labels = rings(random)
        result = FillHoles("instances", max_area)({"instances": labels})["instances"]
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, instance_reference(labels, max_area))
        filled += (result != labels).any()
    assert filled > 30


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.int32, SHAPES, elements=st.sampled_from([0, 0, 1, 2, 9])))
def test_instances_of_noise(labels):
    result = FillHoles("instances")({"instances": labels})["instances"]
    np.testing.assert_array_equal(result, instance_reference(labels, None))


def test_an_island_in_a_hole_stays_and_the_rest_is_filled():
    labels = np.full((7, 7), 1, np.int32)
    labels[1:6, 1:6] = 0
    labels[3, 3] = 2
    result = FillHoles("instances")({"instances": labels})["instances"]
    assert result[3, 3] == 2
    assert (result == 1).sum() == 48


def test_a_gap_between_instances_stays():
    labels = np.ones((5, 5), np.int32)
    labels[:, 3:] = 2
    labels[2, 2:4] = 0
    result = FillHoles("instances")({"instances": labels})["instances"]
    np.testing.assert_array_equal(result, labels)


def test_channels_are_filled_each_by_itself():
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    mask = np.stack([ring, ~ring])
    result = FillHoles()({"mask": mask})["mask"]
    assert result[0].all()
    np.testing.assert_array_equal(result[1], mask[1])


def test_layouts_do_not_matter():
    mask = np.random.default_rng(0).random((30, 40)) < 0.6
    wanted = ndimage.binary_fill_holes(mask)
    for same in (mask, np.asfortranarray(mask), np.repeat(mask, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(filled(same), wanted)
