"""A former build beside this one: its files in a temporary folder, to run and to compare with."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import ROOT


@contextmanager
def former_build(commit: str) -> Iterator[Path]:
    """The files of a commit, without its history; gone afterwards.

    Args:
        commit: a hash, tag or branch of this repository.

    Raises:
        ValueError: the repository has no such commit (a shallow clone lacks most of them).
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "former.tar"
        done = subprocess.run(
            ["git", "archive", f"--output={archive}", commit], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ValueError(
                f"commit {commit!r} cannot be checked out: {done.stderr.strip()}; try git fetch --unshallow"
            )
        build = Path(folder) / "build"
        build.mkdir()
        subprocess.run(["tar", "-xf", str(archive), "-C", str(build)], check=True)
        yield build
