"""Order, gaps and place of slices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.series import (
    LPS_TO_RAS,
    common_orientation,
    gaps,
    on_each_other,
    orientation_groups,
    slice_normal,
    slice_places,
    stack_affine,
)

AXIAL = [1, 0, 0, 0, 1, 0]


def rotation(angles) -> np.ndarray:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = [(1, 2), (2, 0), (0, 1)][axis]
        step = np.eye(3)
        step[[one, one, other, other], [one, other, one, other]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        turn = step @ turn
    return turn


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.permutations(range(6)))
def test_places_order_slices_of_any_orientation(angles, order):
    turn = rotation(angles)
    orientation = np.concatenate([turn[:, 0], turn[:, 1]])
    positions = np.array([turn @ [5, -7, 2.5 * number] for number in order])
    places = slice_places(positions, orientation)
    np.testing.assert_allclose(places, [2.5 * number for number in order], atol=1e-9)
    np.testing.assert_allclose(slice_normal(orientation), turn[:, 2], atol=1e-9)


@given(st.tuples(*[st.floats(-3, 3)] * 3))
def test_affine_puts_every_voxel_where_dicom_says(angles):
    turn = rotation(angles)
    orientation = np.concatenate([turn[:, 0], turn[:, 1]])
    start = np.array([10.0, 20.0, -30.0])
    positions = start + np.arange(4)[:, None] * 2.5 * turn[:, 2]
    affine = stack_affine(positions, orientation, (0.7, 0.9))
    k, i, j = 3, 5, 11
    expected = positions[k] + orientation[3:] * 0.7 * i + orientation[:3] * 0.9 * j  # PS3.3 C.7.6.2.1.1
    np.testing.assert_allclose((affine @ [k, i, j, 1])[:3], LPS_TO_RAS @ expected, atol=1e-9)


def test_tilted_gantry_is_a_shear():
    positions = np.array([[0, 0.5 * number, 3.0 * number] for number in range(5)])
    affine = stack_affine(positions, AXIAL, (1, 1))
    assert affine[:3, 0].tolist() == [0, -0.5, 3]


def test_one_slice_is_as_thick_as_it_says():
    assert stack_affine(np.zeros((1, 3)), AXIAL, (1, 1), thickness=4)[:3, 0].tolist() == [0, 0, 4]


def test_gaps_are_found():
    assert gaps(np.arange(5) * 2.0) == []
    assert gaps(np.array([1.0])) == []
    (gap,) = gaps(np.array([0, 2, 4, 10, 12, 14.0]))
    assert (gap.after, gap.distance, gap.step, gap.missing) == (2, 6, 2, 2)
    assert "2 slices seem to be missing" in str(gap)
    (uneven,) = gaps(np.array([0, 2, 4, 6.7, 8.7]))
    assert uneven.missing == 0
    assert "uneven" in str(uneven)


@pytest.mark.parametrize("wrong", [[1, 0, 0], [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0], [float("nan")] * 6])
def test_orientations_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="ImageOrientationPatient"):
        slice_normal(wrong)


def test_a_scout_in_the_series_is_found():
    with pytest.raises(ValueError, match="slice 1 has orientation"):
        common_orientation([AXIAL, [1, 0, 0, 0, 0, -1], AXIAL])
    assert common_orientation([AXIAL, [1, 0, 0, 0, 0.9999999, 0]]).tolist() == AXIAL


def test_directions_are_numbered_as_they_come():
    turned, near = [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 0.99999, 0.0009]
    assert orientation_groups([AXIAL, turned, near, turned, AXIAL, [0, 1, 0, 0, 0, -1]]).tolist() == [0, 1, 0, 1, 0, 2]


def test_slices_on_each_other_are_found():
    assert on_each_other(np.array([5.0, 0, 10])) is None
    assert on_each_other(np.array([5.0, 0, 10, 5.0004])) == (0, 3)
    assert on_each_other(np.array([3.0])) is None
