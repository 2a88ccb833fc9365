"""Verbs as processes of their own: DDP would execute a whole chain again in every rank."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

CLI = Path(__file__).resolve().parents[1] / "cli.py"
PATIENCE = 30  # seconds a child has to write its last checkpoint
RUNNING: set[subprocess.Popen] = set()


def launch(arguments: list[str], environment: Mapping[str, str] | None = None, log: Path | None = None) -> int:
    """Run `cli.py` with these arguments; ends with it, and ends it when this process is told to end.

    Args:
        arguments: the verb and what follows it.
        environment: variables that differ from this process's.
        log: file that takes its output, at the end of what is there; None shows it.

    Returns:
        The exit status.
    """
    with contextlib.ExitStack() as stack:
        output = None if log is None else stack.enter_context(open(log, "a"))
        process = subprocess.Popen(
            [sys.executable, str(CLI), *arguments],
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
        )
        RUNNING.add(process)
        try:
            return process.wait()
        finally:
            end(process)
            RUNNING.discard(process)


def end(process: subprocess.Popen) -> None:
    """Ask a process to end, and make it after a while."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def children_end_with_us() -> Iterator[None]:
    """A SIGTERM for this process (a time limit, `kill`) reaches what it has started; no training goes on alone."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        for process in list(RUNNING):
            end(process)
        signal.signal(signal.SIGTERM, before)
