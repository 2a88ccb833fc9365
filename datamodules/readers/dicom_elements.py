"""Elements of a DICOM header, checked: numbers, look-up tables, the place of a frame in space."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datamodules.readers.dicom_errors import explained, wrong

if TYPE_CHECKING:
    from pydicom import Dataset

MACROS = {  # where an enhanced multi-frame file keeps what others have at the top (PS3.3 C.7.6.16)
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
    """Value of an element of a frame: its own, that of all frames, or that of the file; None where there is none."""
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
    """Number of frames; 1 where the file does not say."""
    count = dataset.get("NumberOfFrames")
    if count in (None, ""):
        return 1
    if int(count) < 1:
        raise wrong(path, "NumberOfFrames", count, "expected 1 or more")
    return int(count)


def place_of(dataset: "Dataset", path: Path | str, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """ImagePositionPatient `(3,)` and ImageOrientationPatient `(6,)` of a frame.

    Raises:
        DicomReadError: one is missing, or has another number of numbers.
    """
    found = []
    for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6)):
        value = element_of(dataset, keyword, frame)
        try:
            numbers = np.array([float(number) for number in value], np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise wrong(path, keyword, value, f"expected {length} numbers: without them the slice has no place")
        found.append(numbers)
    return found[0], found[1]


def spacing_of(dataset: "Dataset", path: Path | str, frame: int) -> tuple[float, float]:
    """Millimetres between rows and between columns."""
    value = element_of(dataset, "PixelSpacing", frame)
    try:
        rows, columns = (float(number) for number in value)
    except (TypeError, ValueError):
        rows = columns = 0.0
    if not (0 < rows < np.inf and 0 < columns < np.inf):
        raise wrong(path, "PixelSpacing", value, "expected two numbers above 0")
    return rows, columns


def number_of(dataset: "Dataset", keyword: str, path: Path | str, frame: int) -> float | None:
    """A number, the first of several; None where the element is missing or, for windows and the like, empty."""
    value = element_of(dataset, keyword, frame)
    if value is not None and not isinstance(value, str | float | int) and len(value):
        value = value[0]
    if value is None or value == "" or (not isinstance(value, str | float | int) and not len(value)):
        if keyword in dataset and keyword.startswith("Rescale"):
            raise wrong(path, keyword, None, "expected a number; use output: raw, or leave the file out")
        return None
    number = float(value)
    if not np.isfinite(number):
        raise wrong(path, keyword, value, "expected a number")
    return number


def whole_number(dataset: "Dataset", keyword: str, path: Path | str) -> int:
    """A whole number above 0 that the header must have."""
    with explained(path, keyword):
        value = dataset.get(keyword)
        if not isinstance(value, int) or value < 1:
            raise wrong(path, keyword, value, "expected a whole number above 0")
        return int(value)


def padding_value(value: Any) -> int | None:
    """A padding value; some writers leave it as bytes or empty."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return int(value) if isinstance(value, int | float) else None


def lookup_table(dataset: "Dataset", keyword: str, path: Path | str) -> tuple[int, np.ndarray, int]:
    """First mapped value, entries and bits of an entry of a look-up table."""
    item = dataset[keyword].value[0]
    descriptor, content = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or content is None:
        raise wrong(path, keyword, f"{descriptor} with {'no' if content is None else 'some'} data", "it is no table")
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16  # PS3.3 C.11.1.1.1
    if isinstance(content, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        content = np.frombuffer(content, np.uint8 if len(content) < 2 * count else f"{order}u2")
    table = np.asarray(content).astype(np.int64).reshape(-1) & 0xFFFF
    if len(table) < count or not 1 <= bits <= 16:
        raise wrong(path, keyword, f"{len(table)} entries of {bits} bits", f"its descriptor says {count} entries")
    return first, table[:count], bits
