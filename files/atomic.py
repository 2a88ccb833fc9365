"""Files and folders that appear complete or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of writing that do not name the file


@contextmanager
def atomic_path(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """Temporary path to write to within `with`; the file appears as `path` atomically at the end.

    If the block raises, an existing file is unchanged, and nothing else is left. The temporary file is in the same
    folder, which is created if missing, and ends in `.tmp`; concurrent writers use different ones.

    Args:
        path: path of the file.
        durable: whether to wait until bytes and name are on disk, so that a power cut leaves the old file or the new
            one. Off for thousands of files that are checked when read, and can be made again.

    Raises:
        OSError: the file cannot be written; the system's error type (`PermissionError`, …), names the file.
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
    """New folder to fill within `with`; it replaces `path` at the end.

    If the block raises, an existing folder is unchanged, and nothing else is left.

    Raises:
        OSError: the folder cannot be written; names the folder.
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
    """Unused temporary name in the folder of `path`, short enough for every file system."""
    return path.with_name(f"{path.name[:50]}.{os.getpid()}-{secrets.token_hex(3)}.tmp")


def publish(temporary: Path, path: Path, durable: bool = True) -> None:
    """Rename a closed temporary file to its final name; arguments as in `atomic_path`."""
    with _naming(path):
        if durable:
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)


@contextmanager
def _naming(path: Path, which: Callable[[OSError], bool] = lambda error: True) -> Iterator[None]:
    """Make system errors name the requested file, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not which(error):
            raise
        refused = type(error)(f"{path} cannot be written: {error.strerror}")
        refused.errno = error.errno  # without `strerror`, which would replace the message
        raise refused from error


def _is_of(error: OSError, temporary: Path) -> bool:
    """Whether an error is about the written file, not about a file that the block reads."""
    if error.filename is None:
        return error.errno in FULL
    return temporary in (Path(str(error.filename)), *Path(str(error.filename)).parents)


def _sync_folder(path: Path) -> None:
    """Sync a folder, so that a new name is on disk; systems and network drives without support are skipped."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
