"""The error of DICOM files."""

import pickle

from datamodules.readers import DicomReadError, ImageReadError


def test_error_crosses_processes():
    error = DicomReadError("a.dcm: Rows is None", "a.dcm", "Rows", None)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.path, back.tag) == (str(error), "a.dcm", "Rows")
    assert isinstance(type(error)("only a message"), ImageReadError)  # as a loader process raises it again
