"""The error of unreadable DICOM files."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datamodules.readers.base import ImageReadError


class DicomReadError(ImageReadError):
    """A DICOM file that cannot be read; the message names path, tag, value and what to do.

    Attributes:
        path: path of the file.
        tag: keyword of the faulty DICOM element, or None for the file as a whole.
        found: value of the element.
    """

    def __init__(self, message: str, path: Path | str | None = None, tag: str | None = None, found: Any = None) -> None:
        super().__init__(message)  # loader processes pickle the error with its message alone
        self.path, self.tag, self.found = path, tag, found


def wrong(path: Path | str, tag: str | None, found: Any, expected: str) -> DicomReadError:
    """Return the error for one element of a file."""
    what = f"{tag} is {found!r}" if tag is not None else str(found)
    return DicomReadError(f"{path}: {what}; {expected}", path, tag, found)


@contextmanager
def explained(path: Path | str, tag: str | None = None) -> Iterator[None]:
    """Convert any error of a library about a broken file to DicomReadError."""
    try:
        with silence_pydicom():
            yield
    except (DicomReadError, MemoryError, ImportError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        about = f"{tag} cannot be read" if tag else "the file is damaged"
        raise DicomReadError(f"{path}: {about}: {type(error).__name__}: {text}", path, tag, text) from error


@contextmanager
def silence_pydicom() -> Iterator[None]:
    """Suppress pydicom's warnings about non-standard values; those that matter are checked here."""
    if threading.current_thread() is not threading.main_thread():
        yield  # filters are global to the process; the main thread sets them
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        yield
