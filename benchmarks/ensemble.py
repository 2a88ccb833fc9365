"""Ensembling five stores of 2048 x 2048 masks: throughput of the rules, and memory from 50 to 200 images.

Needs Linux. Takes about 1 GiB of temporary disk.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Report, compare
from ensembling.blend import Blend
from ensembling.members import Member, common_ids
from ensembling.rules import average
from ensembling.stream import Stream, write
from predictions.store import PredictionStore

SIDE, MEMBERS, FEW, MANY = 2048, 5, 50, 200


def probabilities(seed: int) -> np.ndarray:
    """Smooth blobs with noise near their edges, as a network gives them."""
    random = np.random.default_rng(seed)
    field = cv2.resize(random.normal(size=(40, 40)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return (1 / (1 + np.exp(-12 * (field - 0.5))))[None].astype(np.float32)


def make(folder: Path) -> list[Member]:
    """Stores of `MANY` images; further images are links to the first four, which costs no disk."""
    ids = [f"{number:04}" for number in range(MANY)]
    for member in range(MEMBERS):
        store = PredictionStore(folder / str(member) / "predictions" / "test")
        store.begin(ids, str(member))
        for number, image_id in enumerate(ids):
            if number < 4:
                store.write(image_id, {"mask": probabilities(10 * member + number)})
            else:
                os.link(store.path / f"{ids[number % 4]}.npz", store.path / f"{image_id}.npz")
        store.finish()
    return [Member(folder / str(member)) for member in range(MEMBERS)]


def resident() -> float:
    """Peak of the resident memory since the last reset, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def stream_of(members: list[Member], rule: str, count: int) -> Stream:
    parts = [member.open("test") for member in members]
    return Stream(parts, Blend(rule), common_ids(parts, False)[:count])


def grown(members: list[Member], folder: Path) -> tuple[float, float, float]:
    """Peak memory after `FEW` and after `MANY` images, MiB, and images per second."""
    peaks = []
    for count in (FEW, MANY):
        Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        write(stream_of(members, "mean", count), PredictionStore(folder / f"out{count}"), lambda _: None, "f")
        seconds = time.perf_counter() - start
        peaks.append(resident())
    return *peaks, MANY / seconds


def main() -> None:
    report = Report("ensemble", ["numpy"])
    arrays = [probabilities(member) for member in range(MEMBERS)]
    work = f"{MEMBERS} maps of {SIDE}²"
    report.add(
        f"mean of {work}",
        compare(
            {"np.mean of a stack": lambda: np.stack(arrays).mean(axis=0), "ours": lambda: average(arrays)},
            "np.mean of a stack",
            5,
        ),
    )
    report.add(
        f"geometric mean of {work}",
        compare(
            {
                "exp of the mean of log": lambda: np.exp(np.log(np.maximum(np.stack(arrays), 1e-3)).mean(axis=0)),
                "ours": lambda: average(arrays, "geometric"),
            },
            "exp of the mean of log",
            5,
        ),
    )
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        members = make(folder)
        few, many, speed = grown(members, folder)
    finally:
        shutil.rmtree(folder)
    report.line("")
    report.line(
        f"{work}, from store to store: {speed:.1f} images/s on one core; peak resident memory {few:.0f} MiB after "
        f"{FEW} images, {many:.0f} MiB after {MANY}: {many - few:+.0f} MiB."
    )
    report.save()


if __name__ == "__main__":
    main()
