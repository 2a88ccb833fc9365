"""Equal counts of classes: against SciPy's assignment with a column for every place, and at the size of Quick, Draw!.

Needs Linux.
"""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.measure import Report, compare
from postprocessing.balanced import balance
from postprocessing.dataset_step import DatasetContext
from postprocessing.equalize_counts import EqualizeCounts

SIZES = ((20_400, 34), (112_200, 340))
KINDS = ("skewed", "confident, 16 bits", "nearly alike")


def probabilities(images: int, classes: int, kind: str, seed: int = 0) -> np.ndarray:
    """Predictions of a balanced set that like some classes too much, `(N, K)` float32."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(images, classes)).astype(np.float32)
    if kind == "nearly alike":  # every image has nearly the probabilities of every other
        values = 0.01 * values + random.normal(size=classes).astype(np.float32)
    else:
        values[np.arange(images), np.arange(images) % classes] += 4.5
        values += 2 * random.normal(size=classes).astype(np.float32)
        values *= 4 if kind.startswith("confident") else 1
    np.exp(values - values.max(1, keepdims=True), out=values)
    values /= values.sum(1, keepdims=True)
    return values.astype(np.float16).astype(np.float32) if kind.startswith("confident") else values


def by_scipy(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The class of each row: a column for every place of every class."""
    places = np.repeat(np.arange(len(wanted)), wanted)
    rows, columns = linear_sum_assignment(values[:, places], maximize=True)
    chosen = np.empty(len(values), int)
    chosen[rows] = places[columns]
    return chosen


def measure(images: int, classes: int, kind: str) -> None:
    """One row of the table, in a process of its own: seconds of the step, and the peak of the whole process."""
    matrix = probabilities(images, classes, kind)
    before = np.bincount(matrix.argmax(1), minlength=classes)
    given = {f"{number:06}": row for number, row in enumerate(matrix)}
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = EqualizeCounts()(given, DatasetContext())
    seconds = time.process_time() - start
    counts = np.bincount([row.argmax() for row in found.values()], minlength=classes)
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(
        f"| {images:,} x {classes}, {kind} | {seconds:.1f} | {peak / 1024:.0f} | {before.min()} to {before.max()} | "
        f"{counts.min()} to {counts.max()} |"
    )


def main() -> None:
    report = Report("equalize_counts", ["numpy", "scipy"])
    for images, classes in ((600, 6), (2_040, 34)):
        values = probabilities(images, classes, "skewed").astype(np.float64)
        wanted = np.full(classes, images // classes)
        ours, theirs = (values[np.arange(images), way(values, wanted)].sum() for way in (chosen, by_scipy))
        if abs(ours - theirs) > 1e-9 * images:
            raise SystemExit(f"{images} x {classes}: the sum of probabilities is {ours}, of SciPy {theirs}")
        calls = {
            "SciPy": lambda values=values, wanted=wanted: by_scipy(values, wanted),
            "ours": lambda values=values, wanted=wanted: chosen(values, wanted),
        }
        report.add(f"{images:,} x {classes}, skewed", compare(calls, "SciPy", 5))
    report.line("")
    report.line("| images x classes | CPU s | peak MiB of the process | counts before | counts after |")
    report.line("|---|---|---|---|---|")
    for images, classes in SIZES:
        for kind in KINDS:
            call = [sys.executable, "-m", "benchmarks.equalize_counts", str(images), str(classes), kind]
            report.line(subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip())
    report.save()


def chosen(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return balance(values, wanted)[0]


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        main()
