"""Hounsfield units, windows, look-up tables and colour of DICOM files, against arithmetic and pydicom."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from datamodules.readers import DicomReader
from datamodules.readers.dicom_series import read_series
from preprocessing.hounsfield import window
from tests.datamodules.readers.test_dicom import read, save


def test_hounsfield_units_are_exact(tmp_path, ramp):
    found = read(save(tmp_path / "a.dcm", ramp, RescaleSlope=2), output="hu", channels="gray")
    assert found.dtype == np.int16
    assert (found[..., 0] == ramp.astype(int) * 2 - 1024).all()
    signed = (ramp.astype(np.int16) - 2048).astype(np.int16)
    found = read(save(tmp_path / "b.dcm", signed, RescaleIntercept=0), output="hu", channels="gray")
    assert (found[..., 0] == signed).all()
    found = read(save(tmp_path / "c.dcm", ramp, Modality="PT", RescaleSlope=0.25), output="hu", channels="gray")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], ramp * 0.25 - 1024)


def test_padding_is_air_in_units_and_black_in_pictures(tmp_path, ramp):
    stored = ramp.astype(np.int16)
    stored[:4] = -2000
    for facts in ({"PixelPaddingValue": -2000}, {}):  # said, and unsaid as in many CTs
        path = save(tmp_path / "a.dcm", stored, **facts)
        assert (read(path, output="hu")[:4] == -1000).all()
        picture = read(path)
        assert (picture[:4] == 0).all()
        assert picture[-1, -1, 0] == 255
        inverted = read(save(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1", **facts))
        assert (inverted[:4] == 0).all()
        assert inverted[-1, -1, 0] == 0
        assert inverted[4, 0, 0] == 255
        assert (read(path, output="raw")[:4] == -2000).all()
    assert (read(save(tmp_path / "c.dcm", stored, Modality="MR"), output="hu")[:4] == -3024).all()


@pytest.mark.parametrize("modality", ["MR", "PT", "CR", "NM", None])
@pytest.mark.parametrize(("value", "limit"), [(-2000, None), (-32768, -30000)])
def test_only_ct_has_air(tmp_path, ramp, modality, value, limit):
    """Elsewhere padding takes the smallest measured value, in pictures and in volumes alike."""
    stored = ramp.astype(np.int16) + 50
    stored[:4] = value
    place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1]}
    facts = place | {"Modality": modality, "RescaleSlope": 2, "RescaleIntercept": 7}
    path = save(tmp_path / "a.dcm", stored, PixelPaddingValue=value, PixelPaddingRangeLimit=limit, **facts)
    found = read(path, output="hu", channels="gray")[..., 0]
    expected = stored.astype(np.float32) * 2 + 7
    expected[:4] = expected[4:].min()
    assert found.dtype == np.float32
    assert (found == expected).all()
    assert (read_series([path])[0][0] == expected).all()
    everything = save(tmp_path / "b.dcm", np.full((4, 4), value, np.int16), **facts)
    assert np.isfinite(read(everything, output="hu")).all()


@pytest.mark.parametrize("output", ["hu", "voi", "raw"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_padding_counts_unless_it_is_made_void(tmp_path, ramp, output, modality):
    stored = ramp.astype(np.int16)
    stored[:4] = -2000
    path = save(tmp_path / "a.dcm", stored, Modality=modality, PixelPaddingValue=-2000)
    row = SimpleNamespace(image_id="a", path=path)
    image, valid = DicomReader(output=output).read_with_valid(row)
    assert valid is None
    again, valid = DicomReader(output=output, void_padding=True).read_with_valid(row)
    assert (again == image).all()
    assert (valid == (stored != -2000)).all()
    assert (DicomReader(output=output, void_padding=True).known(row) == valid).all()
    assert DicomReader(output=output).known(row) is None
    plain = save(tmp_path / "b.dcm", ramp, Modality=modality)
    row = SimpleNamespace(image_id="b", path=plain, slices=[(plain, None), (path, None), (plain, None)])
    assert (DicomReader(output=output, void_padding=True, neighbours=1).read_with_valid(row)[1] == valid).all()
    row.slices = [(path, None), (plain, None), (path, None)]  # the middle one has the truth
    assert DicomReader(output=output, void_padding=True, neighbours=1).read_with_valid(row)[1] is None


def test_monochrome1_is_inverted_after_the_window(tmp_path, ramp):
    facts = {"WindowCenter": 300, "WindowWidth": 800}
    plain = read(save(tmp_path / "a.dcm", ramp, **facts))
    inverted = read(save(tmp_path / "b.dcm", ramp, PhotometricInterpretation="MONOCHROME1", **facts))
    assert (inverted == 255 - plain).all()
    assert plain[0, 0, 0] == 0
    assert plain[-1, -1, 0] == 255


def test_the_first_of_several_windows_is_taken(tmp_path, ramp):
    path = save(tmp_path / "a.dcm", ramp, WindowCenter=[40, 300], WindowWidth=[400, 1500])
    hu = ramp.astype(np.float32) - 1024
    assert (read(path)[..., 0] == window(hu, 40, 400, 8, "LINEAR")).all()
    exact = save(tmp_path / "b.dcm", ramp, WindowCenter=40, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    assert (read(exact, bits=16)[..., 0] == window(hu, 40, 400, 16)).all()


def test_several_windows_are_channels(tmp_path, ramp):
    path = save(tmp_path / "a.dcm", ramp, WindowCenter=1, WindowWidth=2)
    found = read(path, windows=["lung", "bone", [40, 80]])
    hu = ramp.astype(np.float32) - 1024
    for channel, (centre, width) in enumerate([(-600, 1500), (400, 1800), (40, 80)]):
        assert (found[..., channel] == window(hu, centre, width, 8)).all()


def test_without_a_window_deep_files_are_spread_and_8_bit_files_are_left(tmp_path, ramp):
    found = read(save(tmp_path / "a.dcm", ramp), channels="gray")
    assert (found.min(), found.max()) == (0, 255)
    eight = (ramp >> 5).astype(np.uint8)
    assert eight.max() == 127
    assert (read(save(tmp_path / "b.dcm", eight, Modality="DX"))[..., 0] == eight).all()
    assert (read(save(tmp_path / "c.dcm", np.full((4, 4), 7, np.uint16))) == 0).all()


def test_ways_to_show_colour_agree_with_pydicom():
    palette = pydicom.dcmread(get_testdata_file("examples_palette.dcm"))
    expected = pydicom.pixels.apply_color_lut(palette.pixel_array, palette)
    found = read(palette.filename, bits=16)
    assert found.shape == (*palette.pixel_array.shape, 3)
    assert (found == expected[..., :3]).all()
    ybr = get_testdata_file("SC_ybr_full_422_uncompressed.dcm")
    assert (read(ybr) == pydicom.pixels.pixel_array(ybr)).all()
    assert read(ybr)[..., 0].mean() != read(ybr)[..., 2].mean()


def test_look_up_tables(tmp_path, ramp):
    def table(first, entries, bits):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
        item.add_new("LUTData", "US", entries)
        return [item]

    modality = table(0, [5 * number % 4096 for number in range(4096)], 12)
    path = save(tmp_path / "a.dcm", ramp, ModalityLUTSequence=modality, RescaleSlope=None, RescaleIntercept=None)
    assert (read(path, output="hu", channels="gray")[..., 0] == 5 * ramp.astype(int) % 4096).all()
    voi = table(0, [number // 16 for number in range(4096)], 8)
    path = save(tmp_path / "b.dcm", ramp, VOILUTSequence=voi, RescaleIntercept=0, WindowCenter=1, WindowWidth=2)
    assert (read(path)[..., 0] == ramp // 16).all()


def test_real_look_up_tables_agree_with_pydicom(competition_data):
    path = competition_data / "dicom_corner/pydicom_data/vlut_04.dcm"
    made = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_voi(made.pixel_array, made)
    bits = made.VOILUTSequence[0].LUTDescriptor[2]
    found = read(path, channels="gray", bits=16)[..., 0]
    difference = np.abs(found.astype(float) - expected / ((1 << bits) - 1) * 65535)
    assert difference.max() <= 1
    path = competition_data / "dicom_corner/pydicom_data/mlut_18.dcm"
    made = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_modality_lut(made.pixel_array, made)
    assert (read(path, output="hu", channels="gray")[..., 0] == expected).all()
