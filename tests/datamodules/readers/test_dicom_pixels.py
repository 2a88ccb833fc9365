"""Compressed pixels of DICOM files: equal to another decoder's, and refused where they are cut."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

from datamodules.readers import DicomReadError
from datamodules.readers.dicom_pixels import codestream_size, stored_values
from tests.datamodules.readers.test_dicom import read, save


def test_jpeg_lossless_is_what_another_decoder_says(competition_data):
    pytest.importorskip("gdcm", reason="no second decoder to compare with")
    pytest.importorskip("imagecodecs", reason="the decoder is not installed")
    colour = Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm"))
    folder = competition_data / "dicom_corner/pydicom_data"
    for path in (folder / "JPEG-LL.dcm", folder / "JPGLosslessP14SV1_1s_1f_8b.dcm", colour):
        made = pydicom.dcmread(path)
        ours, other = stored_values(made, path), pydicom.pixels.pixel_array(made, decoding_plugin="gdcm")
        assert ours.dtype == other.dtype
        assert (ours == other).all()
        assert ours.any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_jpeg_lossless_of_any_sign_and_depth(tmp_path, bits, signed):
    imagecodecs = pytest.importorskip("imagecodecs")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    pixels = np.random.default_rng(0).integers(low, high + 1, (20, 30)).astype(np.int16 if signed else np.uint16)
    stream = imagecodecs.ljpeg_encode(pixels.view(np.uint16) & np.uint16((1 << bits) - 1), bitspersample=bits)
    made = {"PixelData": encapsulate([stream]), "BitsStored": bits, "HighBit": bits - 1, "syntax": JPEGLosslessSV1}
    path = save(tmp_path / "a.dcm", pixels, **made)
    assert (read(path, output="raw", channels="gray")[..., 0] == pixels).all()


def test_compressed_without_a_decoder_names_the_extra(tmp_path, monkeypatch):
    import pydicom.pixels

    eight = np.zeros((64, 64), np.uint8)
    stream = cv2.imencode(".jp2", eight)[1].tobytes()
    path = save(tmp_path / "a.dcm", eight, syntax=JPEG2000Lossless, PixelData=encapsulate([stream]))
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(DicomReadError, match=r'pip install -e "\.\[dicom\]"') as caught:
        read(path)
    assert caught.value.tag == "TransferSyntaxUID"


def test_a_cut_lossless_stream_is_refused(tmp_path, ramp):
    imagecodecs = pytest.importorskip("imagecodecs")
    stream = imagecodecs.ljpeg_encode(ramp, bitspersample=12)
    made = {"BitsStored": 12, "HighBit": 11, "syntax": JPEGLosslessSV1}
    whole = save(tmp_path / "a.dcm", ramp, PixelData=encapsulate([stream]), **made)
    assert (read(whole, output="raw", channels="gray")[..., 0] == ramp).all()
    cut = save(tmp_path / "b.dcm", ramp, PixelData=encapsulate([stream[: len(stream) // 2]]), **made)
    with pytest.raises(DicomReadError, match="truncated"):
        read(cut)


def test_streams_tell_their_size(ramp):
    eight = (ramp >> 4).astype(np.uint8)
    assert codestream_size(cv2.imencode(".jpg", eight)[1].tobytes()) == (16, 24)
    assert codestream_size(b"\0\1\2\3") is None
    assert codestream_size(b"\xff\xd8\xff") is None
