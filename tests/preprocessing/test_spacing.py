"""Spacing: what has a size or a place in millimetres keeps it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.hounsfield import window
from preprocessing.orientation import reorient
from preprocessing.spacing import resample, resample_onto, resampled_grid, spacing_of

CT = np.array([[0, 0, 0.7, -40], [0, 0.7, 0, 25], [2.5, 0, 0, -300], [0, 0, 0, 1]], float)


def ball(radius: float, affine: np.ndarray, shape: tuple, centre: np.ndarray) -> np.ndarray:
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return np.linalg.norm(places - centre, axis=-1) <= radius


@pytest.mark.parametrize("wanted", [(1, 1, 1), (2.5, 0.7, 0.7), (0.8, 1.1, 0.9)])
@pytest.mark.parametrize("order", [0, 1])
def test_a_ball_of_10_mm_keeps_volume_and_centre(wanted, order):
    shape = (14, 50, 48)
    centre = CT[:3, :3] @ [6.4, 24.2, 23.7] + CT[:3, 3]
    mask = ball(10, CT, shape, centre)
    found, affine = resample(mask.astype(np.float32 if order else np.uint8), CT, wanted, order)
    volume = float(found.sum()) * np.prod(wanted)
    assert volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.03)
    where = np.argwhere(found > 0.5).mean(0)
    np.testing.assert_allclose(affine[:3, :3] @ where + affine[:3, 3], centre, atol=0.3)
    np.testing.assert_allclose(spacing_of(affine), wanted)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.4, 3)] * 3), st.tuples(*[st.integers(2, 12)] * 3))
def test_a_ramp_in_millimetres_is_the_same_ramp_after_resampling(wanted, shape):
    places = np.moveaxis(np.indices(shape), 0, -1) @ CT[:3, :3].T + CT[:3, 3]
    ramp = (places @ [1.0, 2.0, -0.5]).astype(np.float64)
    found, affine = resample(ramp, CT, wanted)
    index = np.moveaxis(np.indices(found.shape), 0, -1)
    # Inside the outer voxels' centres; beyond them the value goes on.
    source = (index @ affine[:3, :3].T + affine[:3, 3] - CT[:3, 3]) @ np.linalg.inv(CT[:3, :3]).T
    inside = ((source >= 0) & (source <= np.array(shape) - 1)).all(-1)
    expected = (index @ affine[:3, :3].T + affine[:3, 3]) @ [1.0, 2.0, -0.5]
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-6)
    # The box is the same, up to half a voxel on each side.
    extent = np.array(shape) * spacing_of(CT)
    assert (np.abs(np.array(found.shape) * wanted - extent) <= np.maximum(np.array(wanted) / 2 + 1e-6, 0)).all() or (
        np.array(found.shape) == 1
    ).any()


def test_resampling_and_turning_can_be_done_in_either_order():
    volume = np.random.default_rng(0).normal(size=(6, 9, 11)).astype(np.float32)
    one, one_affine, _ = reorient(*resample(volume, CT, (1.3, 1, 0.9)), "LPS")
    turned, affine, _ = reorient(volume, CT, "LPS")
    other, other_affine = resample(turned, affine, (1.3, 1, 0.9))
    np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(one_affine, other_affine, atol=1e-9)


def test_labels_are_never_invented_and_types_stay():
    labels = np.random.default_rng(0).choice([0, 3, 7], (8, 20, 20)).astype(np.int16)
    found, _ = resample(labels, CT, (1, 1, 1), order=0)
    assert found.dtype == np.int16
    assert set(np.unique(found)) == {0, 3, 7}
    for kind in (np.uint8, np.int16, np.float32, bool):
        assert resample(labels.astype(kind), CT, (1, 1, 1))[0].dtype == kind


def test_integers_are_rounded_not_cut():
    volume = np.array([-3, -2, 5, 6], np.int16).reshape(1, 1, 4)
    affine = np.eye(4)
    found, _ = resample(volume, affine, (1, 1, 0.5))
    exact, _ = resample(volume.astype(np.float64), affine, (1, 1, 0.5))
    assert np.abs(found - exact).max() <= 0.5 + 1e-6


def test_the_way_back():
    smooth = np.sin(np.linspace(0, 3, 12))[:, None, None] * np.cos(np.linspace(0, 2, 30))[:, None] * np.ones(25)
    found, affine = resample(smooth, CT, (1, 0.5, 0.5))
    back = resample_onto(found, affine, smooth.shape, CT)
    assert back.shape == smooth.shape
    np.testing.assert_allclose(back[1:-1, 1:-1, 1:-1], smooth[1:-1, 1:-1, 1:-1], atol=0.02)
    turned = CT.copy()
    turned[:3, 2] *= -1
    with pytest.raises(ValueError, match="different orientations"):
        resample_onto(smooth, CT, smooth.shape, turned)


def test_nothing_to_do_gives_the_volume_itself():
    volume = np.zeros((3, 4, 5), np.int16)
    found, affine = resample(volume, CT, (2.5, 0.7, 0.7))
    assert found is volume
    np.testing.assert_allclose(affine, CT)


@pytest.mark.parametrize("wanted", [(1, 1), (1, 0, 1), (1, np.nan, 1), (-1, 1, 1)])
def test_spacing_that_is_none(wanted):
    with pytest.raises(ValueError, match="above 0"):
        resampled_grid((3, 4, 5), CT, wanted)


def test_the_window_of_grt123():
    values = np.array([-3000, -1200, -300, 600, 3000], np.int16)
    assert window(values, -300, 1800, bits=8).tolist() == [0, 0, 128, 255, 255]
    every = np.arange(-1200, 601).astype(np.int16)
    np.testing.assert_allclose(window(every, -300, 1800, bits=8), (every + 1200) / 1800 * 255, atol=0.5 + 1e-4)
