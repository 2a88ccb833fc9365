"""Hounsfield units and windows: exact values, and equality with pydicom where pydicom has the same thing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing

from preprocessing.hounsfield import AIR, WINDOWS, lookup, named_window, padding_mask, to_bits, to_hu, window


def test_slope_and_intercept_are_exact():
    stored = np.array([[0, 1, 1024, 4095]], np.uint16)
    assert to_hu(stored, 2, -1024).tolist() == [[-1024, -1022, 1024, 7166]]
    assert to_hu(stored).tolist() == stored.tolist()


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int8, np.uint8, np.int32])
def test_every_value_of_a_type_as_in_pydicom(kind):
    facts = np.iinfo(kind)
    stored = np.linspace(facts.min, facts.max, 1001).astype(kind)
    dataset = Dataset()
    dataset.RescaleSlope, dataset.RescaleIntercept = 1.5, -1024
    np.testing.assert_allclose(to_hu(stored, 1.5, -1024), apply_modality_lut(stored, dataset), rtol=1e-6)


@pytest.mark.parametrize("slope", [0.0, float("nan"), float("inf")])
def test_a_slope_that_is_none_is_refused(slope):
    with pytest.raises(ValueError, match="slope"):
        to_hu(np.zeros(3, np.int16), slope, 0)


def test_padding_becomes_air():
    stored = np.array([-2000, -1024, 0, 63, -2000], np.int16)
    values = to_hu(stored, 1, -1024, padding_mask(stored, -2000))
    assert values.tolist() == [AIR, -2048, -1024, -961, AIR]


def test_padding_of_either_sign_and_a_range():
    signed = np.array([-2000, -1500, -1000, 0], np.int16)
    assert padding_mask(signed, 63536).tolist() == [True, False, False, False]  # −2000 with the wrong sign
    assert padding_mask(signed, -2000, -1500).tolist() == [True, True, False, False]
    assert padding_mask(signed, -1500, -2000).tolist() == [True, True, False, False]  # in either direction
    unsigned = np.array([0, 63536, 100], np.uint16)
    assert padding_mask(unsigned, -2000).tolist() == [False, True, False]
    assert padding_mask(unsigned, None, also=(-2000,)) is None  # unsigned data cannot hold it
    assert padding_mask(signed, None, also=(-2000,)).tolist() == [True, False, False, False]
    assert padding_mask(signed, 5) is None
    assert padding_mask(signed.astype(np.float32), -2000) is None


def test_a_table_keeps_its_ends():
    stored = np.array([-5, 10, 11, 12, 99], np.int16)
    assert lookup(stored, 10, np.array([7, 8, 9])).tolist() == [7, 7, 8, 9, 9]


def test_ends_and_middle_of_a_window():
    values = np.array([-5000, -1200, -300, 600, 5000], np.float32)
    assert window(values, -300, 1800).tolist() == [0, 0, 0.5, 1, 1]
    assert window(values, -300, 1800, 8).tolist() == [0, 0, 128, 255, 255]
    assert window(values, -300, 1800, 16).tolist() == [0, 0, 32768, 65535, 65535]
    assert window(values, -300, 1800, 8).dtype == np.uint8


@given(
    centre=st.floats(-2000, 2000),
    width=st.floats(1, 4000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_as_in_pydicom(centre, width, function):
    values = np.arange(-3000, 3000, 7, dtype=np.int16)
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.PixelRepresentation, dataset.BitsStored = "MONOCHROME2", 1, 16
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = round(centre, 6), round(width, 6), function
    expected = (apply_windowing(values, dataset) + 32768) / 65535
    ours = window(values, float(dataset.WindowCenter), float(dataset.WindowWidth), 0, function)
    np.testing.assert_allclose(ours, expected, atol=2e-3 if width < 2 else 2e-4)


@pytest.mark.parametrize(
    ("width", "function"),
    [(0, "LINEAR"), (0.5, "LINEAR"), (0, "LINEAR_EXACT"), (-3, "SIGMOID"), (float("nan"), "LINEAR")],
)
def test_a_width_that_is_none_is_refused(width, function):
    with pytest.raises(ValueError, match="width"):
        window(np.zeros(3), 40, width, 0, function)


def test_window_of_width_1_is_a_step():
    assert window(np.array([39.0, 40.0]), 40, 1, 0, "LINEAR").tolist() == [0, 1]


def test_named_windows_show_what_they_are_named_after():
    tissue = {"lung": -700, "brain": 35, "liver": 55, "bone": 500, "subdural": 60, "mediastinum": 50}
    for name, value in tissue.items():
        centre, width = named_window(name)
        assert 0.05 < window(np.array([value]), centre, width)[0] < 0.95, name
    assert all(width > 0 for _, width in WINDOWS.values())
    with pytest.raises(ValueError, match="expected one of lung"):
        named_window("lungs")


def test_bits_round_to_the_nearest():
    share = np.linspace(0, 1, 256, dtype=np.float32)
    assert to_bits(share.copy(), 8).tolist() == list(range(256))
    assert to_bits(share, 16).tolist() == [257 * number for number in range(256)]
