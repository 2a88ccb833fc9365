"""Targets of any type as planes that OpenCV and albumentations can move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augmentations.target_planes import as_floats, flags, is_unmixed, packed, unpacked

SIZE = (24, 32)
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


def values(kind, rng, size):
    """Numbers of a type, the smallest and the largest among them."""
    if kind == "bool":
        return rng.random(size) < 0.5
    facts = np.iinfo(kind)
    few = rng.integers(facts.min, facts.max, 20, np.dtype(kind), endpoint=True)
    return rng.choice(np.concatenate([few, [facts.min, facts.max]]).astype(kind), size)


@settings(deadline=None)
@given(st.sampled_from(INTEGERS), st.integers(0, 10**6), st.booleans())
def test_planes_hold_integers_of_every_type(kind, seed, stacked):
    rng = np.random.default_rng(seed)
    array = values(kind, rng, (3, *SIZE) if stacked else SIZE)
    planes, form = packed(array)
    assert all(plane.shape == SIZE and plane.dtype in (np.uint8, np.uint16) for plane in planes)
    again = unpacked(planes, form, array)
    assert again.dtype == array.dtype
    assert (again == array).all()
    turned = unpacked([plane[::-1, ::-1] for plane in planes], form, array)
    assert (turned == array[..., ::-1, ::-1]).all()


def test_small_numbers_of_wide_types_take_one_plane():
    for kind in ("uint8", "int64", "uint32"):
        planes, form = packed(np.full((3, 4, 5), 200, kind))
        assert (len(planes), form) == (3, np.dtype("uint8"))
    assert len(packed(np.full((4, 5), 2**40))[0]) == 4
    assert packed(np.zeros((0, 4, 5), np.int64)).planes == []


def test_whatever_void_or_the_outside_contributes_to_is_mixed():
    valid = np.ones((5, 6), bool)
    valid[2, 3] = False
    maps = flags(valid)
    np.testing.assert_array_equal(is_unmixed(maps), valid)
    halved = (maps + np.roll(maps, 1, axis=2)) / 2  # every pixel mixed with its left neighbour
    assert np.argwhere(~is_unmixed(halved)).tolist() == [[2, 3], [2, 4]]
    maps[:, 0] = 0  # from outside
    assert not is_unmixed(maps)[0].any()


@pytest.mark.parametrize(("kind", "wide"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_floats_become_what_is_interpolated(kind, wide):
    array = np.linspace(-3, 3, 7).astype(kind)
    found = as_floats(array, "heat")
    assert found.dtype == wide
    np.testing.assert_array_equal(found, array)
    assert (found is array) == (kind == wide)


@pytest.mark.parametrize("array", [np.zeros(2, np.complex64), np.array(["a"]), np.zeros(2, np.int64)])
def test_other_types_are_refused(array):
    with pytest.raises(ValueError, match=f"the target 'heat' is {array.dtype}, which augmentation cannot transform"):
        as_floats(array, "heat")
