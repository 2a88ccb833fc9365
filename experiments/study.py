"""Trials of a study on disk: values, results, table and overlay of the best trial."""

import csv
import math
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compat.jsonargparse import innermost
from experiments.run_folder import RunFolder
from experiments.search_space import Axis
from experiments.trial_proposals import Tried
from files.texts import read_json
from files.writing import write_csv, write_json, write_text, write_yaml


@dataclass
class Trial:
    """One trial of a study.

    Args:
        number: trial number, from 0.
        values: values by key of the search space.
        run: run folder.
        state: `running`, `finished` or `failed`; a trial still running at a later call was interrupted and is resumed.
        score: best `val/score`; None unless finished.
        epoch: epoch of the best score.
        seconds: training time in seconds.
        reason: error message if failed.
    """

    number: int
    values: dict[str, Any]
    run: RunFolder
    state: str = "running"
    score: float | None = None
    epoch: int | None = None
    seconds: float | None = None
    reason: str = ""

    @property
    def record(self) -> Path:
        """Record file of the trial."""
        return self.run.path / "trial.json"

    @property
    def overlay(self) -> Path:
        """Config overlay of the trial."""
        return self.run.path / "overlay.yaml"

    @property
    def log(self) -> Path:
        """Log file of its process."""
        return self.run.path / "trial.log"

    def write(self) -> None:
        """Write the record atomically."""
        names = ("values", "state", "score", "epoch", "seconds", "reason")
        write_json(self.record, {name: getattr(self, name) for name in names})


@dataclass
class Study:
    """All trials of a study.

    Args:
        folder: study folder, with one folder per trial, `trials.csv` and `best.yaml`.
        axes: search space.
        maximise: whether a higher score is better.
    """

    folder: Path
    axes: list[Axis]
    maximise: bool
    trials: list[Trial] = field(default_factory=list)

    def settle(self, **settings: Any) -> None:
        """Record the settings of the study; a later call must have the same.

        Raises:
            ValueError: if a setting differs; names it.
        """
        file = self.folder / "study.json"
        before = read_json(file) if file.is_file() else settings
        for name, value in settings.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{self.folder} contains a study with {name} {before.get(name)}, not {value}; restore it, set "
                    "another --study NAME, or delete the folder"
                )
        write_json(file, settings)

    def read(self) -> None:
        """Read the trials of earlier calls."""
        while (run := self.run_folder(len(self.trials))).path.joinpath("trial.json").is_file():
            trial = Trial(len(self.trials), run=run, **read_json(run.path / "trial.json"))
            self.trials.append(trial)

    def run_folder(self, number: int) -> RunFolder:
        """Run folder of a trial."""
        return RunFolder(self.folder / f"trial{number:03d}")

    def begin(self, values: dict[str, Any]) -> Trial:
        """Create a trial with these values and record it before it runs."""
        trial = Trial(len(self.trials), values, self.run_folder(len(self.trials)))
        trial.write()
        self.trials.append(trial)
        return trial

    def tried(self) -> list[Tried]:
        """Trials as input for proposals."""
        return [Tried(trial.values, trial.score, trial.state == "failed") for trial in self.trials]

    def ranked(self) -> list[Trial]:
        """Trials, best first; failed and running ones last."""
        sign = -1 if self.maximise else 1
        return sorted(
            self.trials, key=lambda trial: (math.inf if trial.score is None else sign * trial.score, trial.number)
        )

    def best(self) -> Trial | None:
        """The best trial; None if none is finished."""
        first = self.ranked()[0] if self.trials else None
        return first if first is not None and first.score is not None else None

    def save(self) -> None:
        """Write `trials.csv` and `best.yaml` atomically."""
        write_csv(self.folder / "trials.csv", self.columns(), [self.row(trial) for trial in self.trials])
        best = self.best()
        if best is not None:
            text = f"# trial {best.number}: {best.score:.6g}\n{best.overlay.read_text()}"
            write_text(self.folder / "best.yaml", text)

    def columns(self) -> list[str]:
        """Column names of the table."""
        keys = [axis.key for axis in self.axes]
        return ["trial", "score", *keys, "best_epoch", "seconds", "state", "reason", "run"]

    def row(self, trial: Trial) -> list[str]:
        """Table row of a trial."""
        values = [axis.text(trial.values[axis.key]) for axis in self.axes]
        score = "" if trial.score is None else f"{trial.score:.6f}"
        epoch, seconds = ("" if number is None else f"{number:.0f}" for number in (trial.epoch, trial.seconds))
        return [str(trial.number), score, *values, epoch, seconds, trial.state, trial.reason, str(trial.run.path)]


def write_overlay(trial: Trial, content: dict[str, Any]) -> None:
    """Write the config overlay of a trial."""
    write_yaml(trial.overlay, content)


def clear(trial: Trial) -> None:
    """Reset a failed trial to start from scratch."""
    trial.state, trial.reason = "running", ""
    trial.write()  # written first: without it, a study would end at its number
    for path in trial.run.path.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != trial.record:
            path.unlink()


def best_score(run: RunFolder, maximise: bool) -> tuple[float, int]:
    """Best `val/score` of a fit, and its epoch, which is that of the checkpoint `best`.

    Raises:
        ValueError: if it was never validated, or the score was always NaN.
    """
    file = run.path / "metrics.csv"
    found: list[tuple[float, int]] = []
    if file.is_file():
        with open(file, newline="") as handle:
            rows = [row for row in csv.DictReader(handle) if (row["stage"], row["name"]) == ("fit", "val/score")]
        found = [(float(row["value"]), int(row["epoch"])) for row in rows]
    numbers = [(score, epoch) for score, epoch in found if math.isfinite(score)]
    if not numbers:
        what = f"val/score was NaN in {len(found)} validations" if found else "no val/score; was it validated?"
        raise ValueError(f"{file}: {what}")
    sign = 1 if maximise else -1
    return max(numbers, key=lambda pair: (sign * pair[0], -pair[1]))


def failure(log: Path, status: int) -> str:
    """Reason of a failed process: the last error in its log, else its status."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    errors = [number for number, line in enumerate(lines) if re.match(r"error: |[\w.]*(Error|Exception)\b.*:", line)]
    return innermost("\n".join(lines[errors[-1] :])) if errors else f"fit ended with status {status}"
