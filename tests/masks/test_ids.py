"""Ids of objects, few or many, small or large."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masks.ids import areas, consecutive, only

IDS = st.lists(st.sampled_from([0, 0, 1, 2, 3, 7, 250, 65_535, 65_537, 2**31 - 1]), min_size=1, max_size=40)


@given(IDS, st.sampled_from([np.int32, np.int64, np.uint32, np.uint64]))
def test_objects_stay_apart_under_any_id(ids, kind):
    labels = np.array(ids, kind).reshape(1, -1)
    present = sorted({number for number in ids if number})
    numbered, found = consecutive(labels)
    assert numbered.dtype == np.int32
    assert found.tolist() == present
    assert numbered[0].tolist() == [present.index(number) + 1 if number else 0 for number in ids]
    sizes = areas(labels)[1]
    assert sizes.tolist() == [ids.count(number) for number in present]
    kept = only(labels, found, sizes > 1)
    assert kept.dtype == kind
    assert kept[0].tolist() == [number if ids.count(number) > 1 else 0 for number in ids]


def test_the_largest_ids():
    labels = np.array([[2**62, 0, 2**62 - 1, 2**62]])
    assert consecutive(labels)[0].tolist() == [[2, 0, 1, 2]]
    assert consecutive(np.zeros((0, 3), np.int32))[0].shape == (0, 3)
    with pytest.raises(ValueError, match="id is -1"):
        consecutive(np.array([[-1, 2]]))
