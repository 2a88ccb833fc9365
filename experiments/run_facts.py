"""Best epoch and training time of a run."""

import csv

import numpy as np

from experiments.run_folder import RunFolder


def best_epoch(run: RunFolder) -> int | str:
    """Epoch of the checkpoint used by `predict`; empty if there is none."""
    from lightning_modules.weights import read_checkpoint

    try:
        return int(read_checkpoint(run.checkpoint("best")).get("epoch", -1))
    except (FileNotFoundError, ValueError):
        return ""


def training_seconds(run: RunFolder, pause: float = 600.0) -> float:
    """Training time of all stages in seconds, from logged times; gaps above `pause` seconds are interruptions."""
    total = 0.0
    for file in [*run.path.glob("stages/*/metrics.csv"), run.path / "metrics.csv"]:
        if file.is_file():
            with open(file, newline="") as handle:
                times = np.array([float(row["time"]) for row in csv.DictReader(handle) if row["stage"] == "fit"])
            gaps = np.diff(np.sort(times))
            total += float(gaps[gaps < pause].sum())
    return total
