"""The right to write to a run folder, held by one process at a time."""

import atexit
import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from files.texts import read_json

BEAT = 10.0  # seconds between two signs of life
DEAD = 60.0  # seconds without one, after which a process on another machine counts as dead


class Lease:
    """A file with host and process of its holder, touched every few seconds while the holder lives.

    A process that was killed leaves the file behind; the next one takes it over.

    Args:
        path: file of the lease; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": started(os.getpid())}
        self.over = threading.Event()
        self.over.set()  # not taken yet

    def take(self) -> None:
        """Take the lease until the process ends, or `give_back`.

        Raises:
            SystemExit: another living process holds it.
        """
        while True:
            try:
                with open(self.path, "x") as handle:
                    handle.write(json.dumps(self.holder))
                break
            except FileExistsError:
                holder = self._holder(self.path)
                if holder is not None:
                    raise SystemExit(
                        f"error: process {holder['pid']} on {holder['host']} is training in {self.path.parent}; wait "
                        f"for it, end it, or choose another --run_folder. If it is gone, delete {self.path.name} there"
                    ) from None
                # Of several that find a dead holder, one renames its file; the others look again.
                left = self.path.with_name(f"{self.path.name}.{secrets.token_hex(3)}.tmp")
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self.path, left)
                    if self._holder(left) is None:
                        left.unlink()
                    else:  # of one that took over since
                        os.replace(left, self.path)
        self.over.clear()
        threading.Thread(target=self._beat, daemon=True).start()
        atexit.register(self.give_back)

    def give_back(self) -> None:
        """Delete the file; does nothing if the lease is not held: refused, given back before, or taken over."""
        atexit.unregister(self.give_back)
        if not self.over.is_set():
            self.over.set()
            with contextlib.suppress(OSError, ValueError):
                if read_json(self.path) == self.holder:
                    self.path.unlink()

    def _holder(self, path: Path) -> dict[str, Any] | None:
        """The living holder in a file; None if it is dead, gone, or the file is unreadable and old."""
        try:
            age = time.time() - path.stat().st_mtime
            holder = read_json(path)
        except FileNotFoundError:
            return None
        except ValueError:
            holder = {"host": "unknown", "pid": "unknown"}
            return holder if age < DEAD else None
        if holder["host"] != self.holder["host"] or holder["started"] is None:
            return holder if age < DEAD else None
        return holder if started(holder["pid"]) == holder["started"] else None

    def _beat(self) -> None:
        while not self.over.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def started(pid: int) -> str | None:
    """Start time of a process of this machine, which tells it from a later one of the same number; None if unknown."""
    try:
        # After the name, which is in brackets and may contain blanks, it is the 20th field of Linux' process table.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
