"""What a command that ends with an error prints: the cause first."""

import os
import traceback
from pathlib import Path

from compat.futures import place_in_process
from compat.torch import worker_error

REPOSITORY = Path(__file__).resolve().parents[2]


def told(error: BaseException) -> str | None:
    """What to print of an error that one of our own `raise` lines made: its text first, then where it comes from.

    None for all others, which want their traceback, and for every error where the environment has `TRACEBACK=1`.
    """
    if traceback_wanted():
        return None
    message, worker = str(error), worker_error(str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file, number, code = frame.filename, frame.lineno, frame.line or ""
    if worker is not None:  # a loader's worker sends its traceback as text, with the error behind it
        file, number, code, message = worker
    file, number, code = place_in_process(error) or (file, number, code)
    path = Path(file).resolve()
    if not message or not code.strip().startswith("raise ") or REPOSITORY not in path.parents:
        return None
    # A search says of which image; a worker's own traceback is for who asks for it.
    notes = [f"  {note}" for note in getattr(error, "__notes__", []) if not note.startswith("in a worker")]
    where = f"  raised in {path.relative_to(REPOSITORY)}, line {number}; set TRACEBACK=1 to see how it came there"
    return "\n".join([f"error: {message}", *notes, where])


def traceback_wanted() -> bool:
    """Whether the environment has `TRACEBACK=1`."""
    return os.environ.get("TRACEBACK", "0") not in ("", "0")
