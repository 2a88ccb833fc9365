"""Variants take turns: side by side in one process, with ratios pair by pair, or as processes of their own."""

import gc
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = ("work", "variant", "wall ms", "CPU ms", "faster (wall)", "faster (CPU)")


class Timing(NamedTuple):
    """Seconds of one call: medians over the rounds, and this variant's time as a share of the peer's."""

    wall: float
    cpu: float
    wall_ratio: float
    cpu_ratio: float


def compare(
    variants: dict[str, Callable[[], object]], peer: str, rounds: int = 7, least: float = 0.05
) -> dict[str, Timing]:
    """Time variants in turns.

    Args:
        variants: name -> what is timed.
        peer: name of the variant that the others are compared with.
        rounds: turns; odd, at least 5.
        least: seconds of one measurement; a quick call is repeated until it lasts as long.
    """
    repeats = {}
    for name, call in variants.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, round(least / max(time.perf_counter() - start, 1e-9)))
    wall: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            gc.collect()
            before, before_cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats[name]):
                call()
            wall[name].append((time.perf_counter() - before) / repeats[name])
            cpu[name].append((time.process_time() - before_cpu) / repeats[name])

    def ratio(times: dict[str, list[float]], name: str) -> float:
        return statistics.median(p / max(own, 1e-12) for own, p in zip(times[name], times[peer], strict=True))

    return {
        name: Timing(statistics.median(wall[name]), statistics.median(cpu[name]), ratio(wall, name), ratio(cpu, name))
        for name in variants
    }


class Cost(NamedTuple):
    """Of one process: wall time and CPU time in seconds, peak resident memory in MB, printed text in kB."""

    wall: float
    cpu: float
    memory: float
    printed: float


def process_cost(command: list[str], folder: Path = ROOT, build: Path = ROOT) -> Cost:
    """Run a command in a folder with the modules of a build.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    environment = {**os.environ, "PYTHONPATH": str(build), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = output.seek(0, os.SEEK_END)
        if process.returncode:
            output.seek(0)
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {(output.read() + errors.read()).decode()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed / 1000)


def compare_processes(runs: dict[str, Callable[[], Cost]], rounds: int = 5) -> dict[str, Cost]:
    """Medians of processes in turns; a first round, which reads the files from disk, does not count."""
    costs = [{name: run() for name, run in runs.items()} for _ in range(rounds + 1)]
    return {
        name: Cost(*(statistics.median(values) for values in zip(*(one[name] for one in costs[1:]), strict=True)))
        for name in runs
    }


class Report:
    """Rows of one benchmark, printed and kept in `benchmarks/results/<name>.md`.

    Args:
        name: of the benchmark.
        packages: distributions whose versions belong to the figures.
        columns: head of the table; that of `add` by default.
        note: a line above the table.
    """

    def __init__(self, name: str, packages: list[str], columns: Sequence[str] = COLUMNS, note: str = "") -> None:
        self.name = name
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        self.lines = [f"# {name}", "", f"Python {platform.python_version()}, {versions}; {processor()}.", ""]
        self.lines += [note, ""] if note else []
        self.lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        print("\n".join(self.lines), flush=True)

    def add(self, work: str, timings: dict[str, Timing]) -> None:
        """Rows of one `compare`."""
        for name, timing in timings.items():
            self.line(
                f"| {work} | {name} | {timing.wall * 1e3:.3g} | {timing.cpu * 1e3:.3g} | {timing.wall_ratio:.2f} "
                f"| {timing.cpu_ratio:.2f} |"
            )

    def line(self, text: str) -> None:
        """Any further line."""
        print(text, flush=True)
        self.lines.append(text)

    def save(self) -> None:
        """Write the file."""
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.md").write_text("\n".join(self.lines) + "\n")


def processor() -> str:
    """Name and number of the processors."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{cpus} CPUs, {name}"
