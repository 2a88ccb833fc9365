"""DICOM files that are none, that lack their beginning, or claim too much."""

import resource
import sys
import zlib

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from datamodules.readers import DicomReadError
from tests.datamodules.readers.test_dicom import dataset, read, save


def test_html_is_quoted(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"<html>" * 40)
    with pytest.raises(DicomReadError, match="begins with b'<html>"):
        read(path)


def test_a_file_without_preamble_is_read(tmp_path, ramp):
    made = dataset(ramp)
    meta = made.file_meta
    del made.file_meta
    made["PixelData"].VR = "OW"
    pydicom.dcmwrite(tmp_path / "a.dcm", made, implicit_vr=True, little_endian=True)
    assert meta is not None
    assert (read(tmp_path / "a.dcm", output="raw", channels="gray")[..., 0] == ramp).all()


def test_huge_claims_take_no_memory(tmp_path, ramp):
    """A header of 65535 x 65535, and a small deflated file that decompresses to more than a gigabyte."""
    huge = save(tmp_path / "huge.dcm", ramp, Rows=65535, Columns=65535)
    deflated = save(tmp_path / "deflated.dcm", ramp, syntax=DeflatedExplicitVRLittleEndian)
    assert (read(deflated, output="raw", channels="gray")[..., 0] == ramp).all()
    length = 144 + int(pydicom.filereader.read_file_meta_info(deflated).FileMetaInformationGroupLength)
    press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = press.compress(bytes(1 << 24)) + press.flush(zlib.Z_FULL_FLUSH)  # stands alone, so it can be repeated
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(deflated.read_bytes()[:length] + block * 70)
    assert bomb.stat().st_size < 8 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DicomReadError, match="max_pixels"):
        read(huge)
    with pytest.raises(DicomReadError, match="decompresses to more than"):
        read(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < (1 << 28) // (1 if sys.platform == "darwin" else 1024)
