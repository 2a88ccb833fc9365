"""Run verbs in their own processes: with DDP, every rank would rerun the whole chain."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

CLI = Path(__file__).resolve().parents[1] / "cli.py"
PATIENCE = 30  # seconds for a child to write its last checkpoint
RUNNING: set[subprocess.Popen] = set()


def launch(arguments: list[str], environment: Mapping[str, str] | None = None, log: Path | None = None) -> int:
    """Run `cli.py` with arguments and wait for it; it is terminated together with this process.

    Args:
        arguments: verb and its command-line arguments.
        environment: environment variables that differ from this process.
        log: file to append its output to; None prints it.

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
    """Terminate a process, and kill it if it does not end in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def terminate_children_on_exit() -> Iterator[None]:
    """Pass a SIGTERM of this process (time limit, `kill`) on to its children, so that no training is orphaned."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        for process in list(RUNNING):
            end(process)
        signal.signal(signal.SIGTERM, before)
