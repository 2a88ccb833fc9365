"""Progress of long loops: a bar in a terminal, elsewhere a line every ten seconds."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

SECONDS = 10  # between two lines
LINE = "{desc}: {n_fmt}/{total_fmt}{unit}, {elapsed} elapsed, {remaining} left"


class Lines:
    """A stream that writes each state of a bar on a line of its own; in a log, a bar would be one endless line."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        """Write a state without the characters that would overwrite the last one."""
        state = text.strip("\r\n ")
        if state:
            self.stream.write(f"{state}\n")

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def progress(
    iterable: Iterable[Any] | None = None,
    desc: str = "",
    total: int | None = None,
    unit: str = "",
    show: bool = True,
    delay: float = 0,
    leave: bool = True,
) -> "tqdm":
    """Return a bar over an iterable, or one to `update`, on standard error.

    Args:
        iterable: the items; None for a bar that is updated by hand.
        desc: what is done.
        total: number of items (default: the length of the iterable).
        unit: name of an item, with a space before it.
        show: whether to show anything.
        delay: seconds before the bar appears.
        leave: whether the finished bar stays in the terminal.
    """
    from tqdm import tqdm  # takes 30 ms, which verbs without loops save

    if not show or sys.stderr.isatty():
        return tqdm(iterable, desc, total, leave, unit=unit, delay=delay, disable=not show)
    # Shorter loops write nothing: their first line comes after the interval.
    return tqdm(
        iterable, desc, total, file=Lines(sys.stderr), mininterval=SECONDS, miniters=1, delay=SECONDS,
        unit=unit, bar_format=LINE,
    )  # fmt: skip
