import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from masks.components import label
from postprocessing import ConnectedComponents

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=14))


@settings(max_examples=200, deadline=None)
@given(MASKS, st.sampled_from([1, 2]))
def test_equal_to_scipy_but_for_the_numbers(mask, connectivity):
    labels = label(mask, connectivity)
    wanted, number = ndimage.label(mask, ndimage.generate_binary_structure(2, connectivity))
    assert labels.dtype == np.int32
    assert labels.max() == number
    # a bijection: as many pairs as there are components
    pairs = set(zip(labels.ravel().tolist(), wanted.ravel().tolist(), strict=True)) | {(0, 0)}
    assert len(pairs) == number + 1


@pytest.mark.parametrize(("connectivity", "number"), [(1, 2), (2, 1)])
def test_corners(connectivity, number):
    mask = np.eye(2, dtype=bool)[None]
    result = ConnectedComponents(connectivity=connectivity, result="pieces")({"mask": mask})
    assert result["pieces"].max() == number
    assert result["mask"] is mask


def test_layouts_do_not_matter():
    mask = np.random.default_rng(0).random((20, 30)) < 0.4
    wanted = label(mask)
    np.testing.assert_array_equal(label(np.asfortranarray(mask)), wanted)
    np.testing.assert_array_equal(label(np.repeat(mask, 2, 1)[:, ::2]), wanted)


def test_more_components_than_sixteen_bits_hold():
    mask = np.zeros((600, 600), bool)
    mask[::2, ::2] = True
    assert label(mask).max() == 90_000
