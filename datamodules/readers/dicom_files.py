"""Parsing of DICOM files: headers and whole files, with checks for damage."""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.readers.dicom_elements import whole_number
from datamodules.readers.dicom_errors import DicomReadError, explained, wrong

if TYPE_CHECKING:
    from pydicom import Dataset

AT_ONCE = 256 << 20  # bytes; the header of a larger file is checked first
INFLATED = 1 << 29  # bytes; a deflated file that decompresses to more is an error
DEFLATED = b"1.2.840.10008.1.2.1.99"


def read_header(path: Path | str, keywords: Sequence[str] | None = None) -> "Dataset":
    """Return the elements of a DICOM file before its pixels; only those in `keywords`, if given (faster).

    Raises:
        DicomReadError: if the file is missing, empty, or not a DICOM file.
    """
    return _parse(
        path, stop_before_pixels=True, specific_tags=None if keywords is None else [*keywords, "Rows", "Columns"]
    )


def read_dataset(path: Path | str, max_pixels: int = 100_000_000) -> "Dataset":
    """Return a DICOM file with its pixels, still compressed, after checking that its header describes an image.

    Raises:
        DicomReadError: if there is no image, a frame has more than `max_pixels` pixels, or the header is inconsistent.
    """
    with explained(path):
        if os.path.exists(path) and os.path.getsize(path) > AT_ONCE:
            check_header(read_header(path), path, max_pixels)
        dataset = _parse(path)
        if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            kind = getattr(dataset.get("SOPClassUID"), "name", None)
            raise wrong(path, "PixelData", None, f"the file has no image ({kind or 'kind unknown'}); remove it")
        check_header(dataset, path, max_pixels)
        return dataset


def check_header(dataset: "Dataset", path: Path | str, max_pixels: int) -> None:
    """Raise DicomReadError unless the header describes a valid number of pixels."""
    rows, columns = (whole_number(dataset, keyword, path) for keyword in ("Rows", "Columns"))
    for keyword in ("BitsAllocated", "SamplesPerPixel"):
        whole_number(dataset, keyword, path)
    if not dataset.get("PhotometricInterpretation"):
        found = dataset.get("PhotometricInterpretation")
        raise wrong(path, "PhotometricInterpretation", found, "expected the colour space, such as MONOCHROME2")
    if rows * columns > max_pixels:
        expected = f"more than reader.max_pixels {max_pixels} pixels; raise it if this is correct"
        raise wrong(path, "Rows x Columns", f"{rows} x {columns}", expected)


def _parse(path: Path | str, **options: Any) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    path = Path(path)
    if not path.is_file():
        raise DicomReadError(f"{path} does not exist", path)
    if path.stat().st_size == 0:
        raise DicomReadError(f"{path} is empty (0 bytes)", path, None, b"")
    with explained(path), open(path, "rb") as handle:
        start = handle.read(1024)
        handle.seek(0)
        if DEFLATED in start:
            _check_deflated(path)
        try:
            return dcmread(handle, **options)
        except InvalidDicomError:
            # Some archives have files without preamble. Forced parsing accepts anything, so require an image.
            handle.seek(0)
            dataset = None if _is_text(start) else dcmread(handle, force=True, **options)
            if dataset is None or not _plausible(dataset):
                found = f"it begins with {start[:16]!r}"
                raise DicomReadError(f"{path} is not a DICOM file ({found})", path, None, start[:16]) from None
            return dataset


def _is_text(start: bytes) -> bool:
    return not any(byte < 9 for byte in start)


def _plausible(dataset: "Dataset") -> bool:
    try:
        return isinstance(dataset.get("Rows"), int) and isinstance(dataset.get("Columns"), int)
    except Exception:
        return False


def _check_deflated(path: Path) -> None:
    """Raise an error for a file that decompresses to an excessive size; pydicom would decompress it all."""
    from pydicom.filereader import read_file_meta_info

    length = 144 + int(read_file_meta_info(path).get("FileMetaInformationGroupLength", 0))
    content = path.read_bytes()[length:]
    unpack, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while content and not unpack.eof:
        size += len(unpack.decompress(content, 1 << 24))
        content = unpack.unconsumed_tail
        if size > INFLATED:
            raise DicomReadError(f"{path} is deflated and decompresses to more than {INFLATED >> 20} MB", path)
