"""Error messages of a failed command: the cause first."""

import os
import traceback
from pathlib import Path

from compat.futures import place_in_process
from compat.torch import worker_error

REPOSITORY = Path(__file__).resolve().parents[2]


def format_error(error: BaseException) -> str | None:
    """Format an error raised by this project: its message first, then the file and line that raised it.

    None for other errors, whose traceback is shown, and for all errors if the environment has `TRACEBACK=1`.
    """
    if traceback_wanted():
        return None
    message, worker = str(error), worker_error(str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file, number, code = frame.filename, frame.lineno, frame.line or ""
    if worker is not None:  # a DataLoader worker sends its traceback as text, ending with the error
        file, number, code, message = worker
    file, number, code = place_in_process(error) or (file, number, code)
    path = Path(file).resolve()
    if not message or not code.strip().startswith("raise ") or REPOSITORY not in path.parents:
        return None
    # Notes name the image in a search; a worker's traceback is shown with TRACEBACK=1 only.
    notes = [f"  {note}" for note in getattr(error, "__notes__", []) if not note.startswith("in a worker")]
    where = f"  raised in {path.relative_to(REPOSITORY)}, line {number}; set TRACEBACK=1 for the traceback"
    return "\n".join([f"error: {message}", *notes, where])


def traceback_wanted() -> bool:
    """Whether the environment has `TRACEBACK=1`."""
    return os.environ.get("TRACEBACK", "0") not in ("", "0")
