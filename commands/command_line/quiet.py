"""What libraries tell at every start and nobody here can act on, kept off the screen; our own warnings on one line."""

import logging
import warnings
from pathlib import Path

from compat import jsonargparse, lightning

REPOSITORY = Path(__file__).resolve().parents[2]


class NoAdvertisements(logging.Filter):
    """Drops the messages that begin as `compat.lightning.IGNORED_LOG_PREFIXES`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(lightning.IGNORED_LOG_PREFIXES)


def quiet() -> None:
    """Call once a process, before Lightning builds its Trainer."""
    for name in lightning.LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoAdvertisements) for one in logger.filters):
            logger.addFilter(NoAdvertisements())
    for message in (*lightning.IGNORED_WARNINGS, *jsonargparse.IGNORED_WARNINGS):
        warnings.filterwarnings("ignore", message)


def one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as `warnings` prints it; one that a line of this repository gave for its text alone."""
    if REPOSITORY in Path(filename).resolve().parents and issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
