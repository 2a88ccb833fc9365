"""Checked elements of a DICOM header: numbers, look-up tables, the position of a frame in space."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datamodules.readers.dicom_errors import explained, wrong

if TYPE_CHECKING:
    from pydicom import Dataset

MACROS = {  # sequences of enhanced multi-frame files for elements that others have at the top (PS3.3 C.7.6.16)
    "ComplexImageComponent": "MRImageFrameTypeSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "FrameType": "MRImageFrameTypeSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "StackID": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
}


def element_of(dataset: "Dataset", keyword: str, frame: int = 0) -> Any:
    """Return the value of an element of a frame: its own, that of all frames, or that of the file; None if missing."""
    macro = MACROS.get(keyword)
    if macro is not None:
        own = dataset.get("PerFrameFunctionalGroupsSequence") or []
        shared = dataset.get("SharedFunctionalGroupsSequence") or []
        for groups in ([own[frame]] if frame < len(own) else [], shared[:1]):
            for group in groups:
                for item in group.get(macro) or []:
                    if keyword in item:
                        return item.get(keyword)
    return dataset.get(keyword)


def frame_count(dataset: "Dataset", path: Path | str) -> int:
    """Return the number of frames; 1 if missing."""
    count = dataset.get("NumberOfFrames")
    if count in (None, ""):
        return 1
    if int(count) < 1:
        raise wrong(path, "NumberOfFrames", count, "expected 1 or more")
    return int(count)


def place_of(dataset: "Dataset", path: Path | str, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return ImagePositionPatient `(3,)` and ImageOrientationPatient `(6,)` of a frame.

    Raises:
        DicomReadError: if one is missing, or has the wrong length.
    """
    found = []
    for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6)):
        value = element_of(dataset, keyword, frame)
        try:
            numbers = np.array([float(number) for number in value], np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise wrong(path, keyword, value, f"expected {length} numbers that define the position of the slice")
        found.append(numbers)
    return found[0], found[1]


def spacing_of(dataset: "Dataset", path: Path | str, frame: int) -> tuple[float, float]:
    """Return the spacing of rows and of columns, mm."""
    value = element_of(dataset, "PixelSpacing", frame)
    try:
        rows, columns = (float(number) for number in value)
    except (TypeError, ValueError):
        rows = columns = 0.0
    if not (0 < rows < np.inf and 0 < columns < np.inf):
        raise wrong(path, "PixelSpacing", value, "expected two numbers above 0")
    return rows, columns


def number_of(dataset: "Dataset", keyword: str, path: Path | str, frame: int) -> float | None:
    """Return a number, the first of several; None if the element is missing or, except for rescaling, empty."""
    value = element_of(dataset, keyword, frame)
    if value is not None and not isinstance(value, str | float | int) and len(value):
        value = value[0]
    if value is None or value == "" or (not isinstance(value, str | float | int) and not len(value)):
        if keyword in dataset and keyword.startswith("Rescale"):
            raise wrong(path, keyword, None, "expected a number; use output: raw, or remove the file")
        return None
    number = float(value)
    if not np.isfinite(number):
        raise wrong(path, keyword, value, "expected a number")
    return number


def whole_number(dataset: "Dataset", keyword: str, path: Path | str) -> int:
    """Return a positive integer that the header must have."""
    with explained(path, keyword):
        value = dataset.get(keyword)
        if not isinstance(value, int) or value < 1:
            raise wrong(path, keyword, value, "expected an integer above 0")
        return int(value)


def padding_value(value: Any) -> int | None:
    """Return a padding value; some writers store it as bytes or empty."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return int(value) if isinstance(value, int | float) else None


def lookup_table(dataset: "Dataset", keyword: str, path: Path | str) -> tuple[int, np.ndarray, int]:
    """Return first mapped value, entries and bits per entry of a look-up table."""
    item = dataset[keyword].value[0]
    descriptor, content = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or content is None:
        found = f"{descriptor} with {'no' if content is None else 'some'} data"
        raise wrong(path, keyword, found, "expected a look-up table with a descriptor of 3 numbers and data")
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16  # PS3.3 C.11.1.1.1
    if isinstance(content, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        content = np.frombuffer(content, np.uint8 if len(content) < 2 * count else f"{order}u2")
    table = np.asarray(content).astype(np.int64).reshape(-1) & 0xFFFF
    if len(table) < count or not 1 <= bits <= 16:
        raise wrong(path, keyword, f"{len(table)} entries of {bits} bits", f"expected {count} by its descriptor")
    return first, table[:count], bits
