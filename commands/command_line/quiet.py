"""Silence start-up messages of libraries that users cannot act on; print our own warnings on one line."""

import logging
import warnings
from pathlib import Path

from compat import jsonargparse, lightning

REPOSITORY = Path(__file__).resolve().parents[2]


class NoAdvertisements(logging.Filter):
    """Drop log messages that start with one of `compat.lightning.IGNORED_LOG_PREFIXES`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(lightning.IGNORED_LOG_PREFIXES)


def quiet() -> None:
    """Silence library messages. Call once per process, before Lightning builds its Trainer."""
    for name in lightning.LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoAdvertisements) for one in logger.filters):
            logger.addFilter(NoAdvertisements())
    for message in (*lightning.IGNORED_WARNINGS, *jsonargparse.IGNORED_WARNINGS):
        warnings.filterwarnings("ignore", message)


def one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning: message only if raised in this repository, else as `warnings` does."""
    if REPOSITORY in Path(filename).resolve().parents and issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
