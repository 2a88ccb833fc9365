"""What libraries tell at every start and nobody here can act on, kept off the screen; our own warnings on one line."""

import logging
import warnings
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Advertisements; hardware that is not looked for; a path that the next line gives again.
SAID_FOR_NOTHING = ("💡 Tip", "TPU available: False", "Restoring states from the checkpoint path")
WARNED_FOR_NOTHING = (
    r"(?s).*isinstance\(treespec, LeafSpec\).* is deprecated",  # Lightning's own use of what torch has deprecated
    "Total length of `DataLoader` across ranks is zero",  # all is predicted already
    "(?s).*does not round-trip",  # of jsonargparse: a tuple becomes a list in YAML, which every library here takes too
)


class NoAdvertisements(logging.Filter):
    """Drops the messages that begin as `SAID_FOR_NOTHING`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(SAID_FOR_NOTHING)


def quiet() -> None:
    """Call once a process, before Lightning builds its Trainer."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_utilities.core.rank_zero"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoAdvertisements) for one in logger.filters):
            logger.addFilter(NoAdvertisements())
    for message in WARNED_FOR_NOTHING:
        warnings.filterwarnings("ignore", message)


def one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as `warnings` prints it; one that a line of this repository gave for its text alone."""
    if REPOSITORY in Path(filename).resolve().parents and issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
