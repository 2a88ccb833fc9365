"""Entries of a store that are written part by part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictions.entry import STRIP_ROWS
from predictions.store import PredictionStore

RANDOM = np.random.default_rng(0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=6),
    st.sampled_from(["uint8", "float16", "float32"]),
    st.booleans(),
)
def test_rows_one_after_the_other_are_the_whole_map(tmp_path_factory, heights, dtype, unit):
    store = PredictionStore(tmp_path_factory.mktemp("store"))
    mask = RANDOM.random((2, sum(heights), 7), dtype=np.float32) * (1 if unit else 3)
    edges = np.cumsum([0, *heights])
    with store.file("rows", dtype) as file:
        for first, last in zip(edges, edges[1:], strict=False):
            buffer = mask[:, first:last].copy()
            file.add_rows("mask", buffer, unit)
            file.add_rows("other", 1 - buffer[:1], unit)  # maps may take turns
            buffer[:] = -1  # the caller's own again
        file.add("label", np.arange(3, dtype=np.float32))
        assert file.shapes() == {"mask": mask.shape, "other": (1, *mask.shape[1:]), "label": (3,)}
    store.write("whole", {"mask": mask, "other": 1 - mask[:1], "label": np.arange(3, dtype=np.float32)}, dtype)
    rows, whole = store.read("rows"), store.read("whole")
    for name in whole:
        np.testing.assert_array_equal(rows[name], whole[name])
    window = (max(0, mask.shape[1] - 300), 2, mask.shape[1], 5)
    np.testing.assert_array_equal(store.read("rows", ["mask"], window)["mask"], whole["mask"][:, window[0] :, 2:5])


def test_nothing_is_there_before_the_end_or_after_a_failure(tmp_path):
    store = PredictionStore(tmp_path)
    store.write("a", {"mask": np.full((1, 4, 4), 0.2, np.float32)})
    file = store.file("a")
    file.add_rows("mask", np.ones((1, 2 * STRIP_ROWS, 4), np.float32), unit=True)
    with pytest.raises(OSError, match="the disk is full"), file:
        raise OSError("the disk is full")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    np.testing.assert_allclose(store.read("a")["mask"], 0.2, atol=1e-6)  # as it was
    with store.file("b") as file:
        file.add_rows("mask", np.ones((1, 2, 4), np.float32), unit=True)
        assert "b" not in store
    assert "b" in store


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bytes_do_not_make_a_number_of_what_is_none(tmp_path, value):
    rows = np.full((1, 3, 4), 0.5, np.float32)
    rows[0, 1, 2] = value
    store = PredictionStore(tmp_path)
    with (
        pytest.raises(ValueError, match="'mask' of image 'a' from the network has NaN or infinite"),
        store.file("a") as file,
    ):
        file.add_rows("mask", rows, unit=True)
    assert list(tmp_path.iterdir()) == []
    with store.file("a", "float32") as file:  # where it is kept as it is, who reads it will say so
        file.add_rows("mask", rows, unit=True)
    np.testing.assert_array_equal(store.read("a")["mask"], rows)


def test_what_is_discarded_never_appears(tmp_path):
    with PredictionStore(tmp_path).file("a") as file:
        file.add_rows("mask", np.ones((1, 600, 4), np.float32), unit=True)
        file.discard()
    assert list(tmp_path.iterdir()) == []


def test_blending_weights_may_add_up_to_a_little_more_than_1(tmp_path):
    store = PredictionStore(tmp_path)
    mask = np.full((1, 5, 5), np.nextafter(np.float32(1), np.float32(2)), np.float32)
    store.write("a", {"mask": mask})
    np.testing.assert_array_equal(store.read("a")["mask"], np.ones((1, 5, 5), np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_map_of_zeros(tmp_path, dtype):
    shape = (2, STRIP_ROWS + 3, 5)
    with PredictionStore(tmp_path).file("a", dtype) as file:
        file.add_zeros("mask", shape)
    np.testing.assert_array_equal(PredictionStore(tmp_path).read("a")["mask"], np.zeros(shape, np.float32))
