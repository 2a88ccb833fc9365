"""Class scores of instances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from postprocessing import InstanceClasses


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), first=st.integers(0, 1))
def test_scores_are_means_over_pixels(seed, first):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 9, 2))
    ids = rng.integers(0, 5, size).astype(np.int32)
    maps = rng.dirichlet(np.ones(3), size).transpose(2, 0, 1).astype(np.float32)
    found = InstanceClasses("kind", first_class=first)({"instances": ids, "kind": maps})["scores"]
    assert found.shape == (ids.max(initial=0), 3 - first)
    for number in np.unique(ids[ids > 0]):
        expected = [ndimage.mean(plane, ids, number) for plane in maps[first:]]
        np.testing.assert_allclose(found[number - 1], expected, rtol=1e-5)
    absent = np.setdiff1d(np.arange(1, ids.max(initial=0) + 1), ids)
    assert np.isnan(found[absent - 1]).all()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="InstanceClasses expects instance ids"):
        InstanceClasses("kind")({"instances": np.ones((3, 3), int), "kind": np.ones((2, 4, 3), np.float32)})
