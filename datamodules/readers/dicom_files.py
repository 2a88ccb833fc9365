"""DICOM files, parsed: headers and whole files, whatever is damaged in them."""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.readers.dicom_elements import whole_number
from datamodules.readers.dicom_errors import DicomReadError, explained, wrong

if TYPE_CHECKING:
    from pydicom import Dataset

AT_ONCE = 256 << 20  # bytes; a larger file is first asked for its size alone
INFLATED = 1 << 29  # bytes; a deflated file that unpacks to more is refused
DEFLATED = b"1.2.840.10008.1.2.1.99"


def read_header(path: Path | str, keywords: Sequence[str] | None = None) -> "Dataset":
    """The elements of a DICOM file before its pixels; only some of them where `keywords` names them (quicker).

    Raises:
        DicomReadError: missing, empty, or no DICOM file.
    """
    return _parse(
        path, stop_before_pixels=True, specific_tags=None if keywords is None else [*keywords, "Rows", "Columns"]
    )


def read_dataset(path: Path | str, max_pixels: int = 100_000_000) -> "Dataset":
    """A DICOM file with its pixels, still compressed, whose header describes an image.

    Raises:
        DicomReadError: no image, more than `max_pixels` pixels in a frame, or a header that contradicts itself.
    """
    with explained(path):
        if os.path.exists(path) and os.path.getsize(path) > AT_ONCE:
            check_header(read_header(path), path, max_pixels)
        dataset = _parse(path)
        if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            kind = getattr(dataset.get("SOPClassUID"), "name", None)
            raise wrong(path, "PixelData", None, f"the file has no picture ({kind or 'kind unknown'}); leave it out")
        check_header(dataset, path, max_pixels)
        return dataset


def check_header(dataset: "Dataset", path: Path | str, max_pixels: int) -> None:
    """Raise DicomReadError unless the header describes pixels of a reasonable number."""
    rows, columns = (whole_number(dataset, keyword, path) for keyword in ("Rows", "Columns"))
    for keyword in ("BitsAllocated", "SamplesPerPixel"):
        whole_number(dataset, keyword, path)
    if not dataset.get("PhotometricInterpretation"):
        found = dataset.get("PhotometricInterpretation")
        raise wrong(path, "PhotometricInterpretation", found, "it must say how pixels are shown, such as MONOCHROME2")
    if rows * columns > max_pixels:
        expected = f"more than reader.max_pixels {max_pixels} pixels; raise it if the file is real"
        raise wrong(path, "Rows x Columns", f"{rows} x {columns}", expected)


def _parse(path: Path | str, **options: Any) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    path = Path(path)
    if not path.is_file():
        raise DicomReadError(f"{path} is not there", path)
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
            # Some archives hold files without preamble. Read by force anything looks like DICOM, so ask for an image.
            handle.seek(0)
            dataset = None if _is_text(start) else dcmread(handle, force=True, **options)
            if dataset is None or not _plausible(dataset):
                found = f"it begins with {start[:16]!r}"
                raise DicomReadError(f"{path} is no DICOM file ({found})", path, None, start[:16]) from None
            return dataset


def _is_text(start: bytes) -> bool:
    return not any(byte < 9 for byte in start)


def _plausible(dataset: "Dataset") -> bool:
    try:
        return isinstance(dataset.get("Rows"), int) and isinstance(dataset.get("Columns"), int)
    except Exception:
        return False


def _check_deflated(path: Path) -> None:
    """Refuse what unpacks to more than can be meant; pydicom would unpack it all."""
    from pydicom.filereader import read_file_meta_info

    length = 144 + int(read_file_meta_info(path).get("FileMetaInformationGroupLength", 0))
    content = path.read_bytes()[length:]
    unpack, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while content and not unpack.eof:
        size += len(unpack.decompress(content, 1 << 24))
        content = unpack.unconsumed_tail
        if size > INFLATED:
            raise DicomReadError(f"{path} is deflated and unpacks to more than {INFLATED >> 20} MB; refused", path)
