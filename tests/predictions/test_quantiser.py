"""Probabilities as bytes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.tiles import to_bytes
from predictions.quantiser import LEVELS, from_steps, restored, stored_as, to_steps


@given(arrays(np.float32, (2, 3, 5), elements=st.floats(-2, 3, width=32)))
def test_every_way_gives_the_nearest_step(values):
    nearest = np.abs(np.clip(values, 0, 1).astype(np.float64)[..., None] - LEVELS).min(-1)
    steps = to_steps(values)
    np.testing.assert_allclose(np.abs(np.clip(values, 0, 1) - LEVELS[steps]), nearest, atol=1e-7)
    np.testing.assert_array_equal(to_bytes(torch.from_numpy(values)).numpy(), steps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, bool])
def test_types(dtype):
    values = np.array([0, 1, 0, 1], dtype)
    assert to_steps(values).tolist() == [0, 255, 0, 255]
    assert to_steps(values).dtype == np.uint8


def test_steps_are_restored_to_themselves():
    steps = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_steps(from_steps(steps)), steps)
    np.testing.assert_allclose(from_steps(steps), LEVELS, rtol=1e-7)
    assert from_steps(steps).dtype == np.float32


def test_only_maps_of_probabilities_become_steps():
    maps, boxes = np.full((1, 2, 2), 0.5), np.full((2, 4), 0.5)
    assert stored_as(maps, "uint8")[1] == 255
    for array, dtype in ((boxes, "uint8"), (maps * 3, "uint8"), (maps, "float16"), (boxes, "float32")):
        stored, scale = stored_as(array, dtype)
        assert scale is None
        np.testing.assert_array_equal(restored(stored, scale), array.astype(np.float32))
