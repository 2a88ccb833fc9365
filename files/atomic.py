"""Files and folders that are there whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # which writing tells without the name of the file


@contextmanager
def atomic_path(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """A path to write to within `with`; what is written there appears as `path` at the end, at once.

    Where the block raises, a file that was there before stays, and nothing else is left. The temporary file lies in the
    same folder, which is made where it is missing, and ends in `.tmp`; no two writers share one.

    Args:
        path: of the file.
        durable: wait until the disk has the bytes and the name, so that a power cut leaves the old file or the new one.
            Off for files by the thousand which are checked when they are read, and can be made again.

    Raises:
        OSError: the file cannot be written, of the kind that the system gave (`PermissionError`, …); names it.
    """
    path = Path(path)
    temporary = beside(path)
    try:
        with _naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with _naming(path, lambda error: _is_of(error, temporary)):
            yield temporary
        publish(temporary, path, durable)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to fill within `with`; it appears as `path` at the end, in place of one that was there.

    Where the block raises, the folder that was there before stays, and nothing else is left.

    Raises:
        OSError: the folder cannot be written; names it.
    """
    path = Path(path)
    temporary, former = beside(path), beside(path)
    try:
        with _naming(path):
            temporary.mkdir(parents=True)
        with _naming(path, lambda error: _is_of(error, temporary)):
            yield temporary
        with _naming(path):
            if path.exists():
                os.replace(path, former)
            try:
                os.replace(temporary, path)
            except OSError:
                if former.exists():
                    os.replace(former, path)
                raise
            _sync_folder(path.parent)
    finally:
        for left in (temporary, former):
            shutil.rmtree(left, ignore_errors=True)


def beside(path: Path) -> Path:
    """A name in the folder of `path` that nobody else has; short enough for every file system."""
    return path.with_name(f"{path.name[:50]}.{os.getpid()}-{secrets.token_hex(3)}.tmp")


def publish(temporary: Path, path: Path, durable: bool = True) -> None:
    """Give a file that was written and closed its name; the arguments are those of `atomic_path`."""
    with _naming(path):
        if durable:
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)


@contextmanager
def _naming(path: Path, which: Callable[[OSError], bool] = lambda error: True) -> Iterator[None]:
    """Let what the system refuses name the file that was asked for, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not which(error):
            raise
        refused = type(error)(f"{path} cannot be written: {error.strerror}")
        refused.errno = error.errno  # without `strerror`, which would stand in the text in place of the message
        raise refused from error


def _is_of(error: OSError, temporary: Path) -> bool:
    """Whether an error is about what is written, and not about something that the block reads."""
    if error.filename is None:
        return error.errno in FULL
    return temporary in (Path(str(error.filename)), *Path(str(error.filename)).parents)


def _sync_folder(path: Path) -> None:
    """Make the disk know a name; systems and network drives that cannot do so keep their own promise."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
