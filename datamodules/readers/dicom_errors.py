"""What is wrong with a DICOM file, in one kind of error."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datamodules.readers.base import ImageReadError


class DicomReadError(ImageReadError):
    """A DICOM file that cannot be read; names path, tag, what was found, and the cure.

    Attributes:
        path: the file.
        tag: keyword of the DICOM element that is wrong, or None where the file as a whole is.
        found: what it holds.
    """

    def __init__(self, message: str, path: Path | str | None = None, tag: str | None = None, found: Any = None) -> None:
        super().__init__(message)  # a message alone must do: so loader processes hand it on
        self.path, self.tag, self.found = path, tag, found


def wrong(path: Path | str, tag: str | None, found: Any, expected: str) -> DicomReadError:
    """The error for one element of a file."""
    what = f"{tag} is {found!r}" if tag is not None else str(found)
    return DicomReadError(f"{path}: {what}; {expected}", path, tag, found)


@contextmanager
def explained(path: Path | str, tag: str | None = None) -> Iterator[None]:
    """Whatever a library raises about a broken file, as DicomReadError."""
    try:
        with quiet():
            yield
    except (DicomReadError, MemoryError, ImportError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        about = f"{tag} cannot be read" if tag else "the file is damaged"
        raise DicomReadError(f"{path}: {about}: {type(error).__name__}: {text}", path, tag, text) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's many warnings about values that break the standard: what matters is checked here."""
    if threading.current_thread() is not threading.main_thread():
        yield  # filters belong to the whole process; whoever starts threads silences them
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        yield
