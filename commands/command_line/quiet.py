"""Silence start-up messages of libraries that users cannot act on; print our own warnings on one line, each once."""

import logging
import sys
import warnings
from pathlib import Path
from typing import TextIO

from compat import jsonargparse, lightning

REPOSITORY = Path(__file__).resolve().parents[2]
SHOWN: set[str] = set()  # texts of the warnings that this process has printed


class NoAdvertisements(logging.Filter):
    """Drop log messages that start with one of `compat.lightning.IGNORED_LOG_PREFIXES`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(lightning.IGNORED_LOG_PREFIXES)


def silence_libraries() -> None:
    """Silence library messages. Call once per process, before Lightning builds its Trainer."""
    for name in lightning.LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoAdvertisements) for one in logger.filters):
            logger.addFilter(NoAdvertisements())
    for message in (*lightning.IGNORED_WARNINGS, *jsonargparse.IGNORED_WARNINGS):
        warnings.filterwarnings("ignore", message)


def show_once(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning; for `warnings.showwarning`.

    Each text is printed once per process. `warnings` repeats one that it has shown as soon as a library changes any
    filter, so a config that is read several times would announce its former keys each time.
    """
    if str(message) not in SHOWN:
        SHOWN.add(str(message))
        print(one_line(message, category, filename, lineno), end="", file=file or sys.stderr)


def one_line(message: Warning | str, category: type[Warning], filename: str, lineno: int) -> str:
    """Format a warning: message only if raised in this repository, else as `warnings` does."""
    if REPOSITORY in Path(filename).resolve().parents and issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
