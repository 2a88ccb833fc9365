"""Summary of an experiment on disk: scores of folds and images, missing folds, training time, network size."""

import csv
import math
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from experiments.fold_stores import Missing, check_folds_there
from experiments.run_facts import best_epoch, training_seconds
from experiments.run_folder import RunFolder, fold_name, fold_runs
from experiments.study import best_score
from experiments.yaml_files import read_yaml
from files.paths import file_hash
from files.texts import read_json
from files.writing import to_yaml
from predictions.store import PredictionStore
from preprocessing.sources import find_checkpoint

Fold = tuple[int, str]  # repetition, name of the fold


@dataclass
class Summary:
    """Summary of an experiment.

    Args:
        path: path as given.
        config: config of its first run.
        scores: score of each finished fold.
        source: source of the scores: `crossval` (out-of-fold predictions), `fit` (best validation of training),
            `ensemble` (cross-fitted).
        epochs: epochs of the best checkpoints, in the order of folds.
        seconds: total training time in seconds.
        parameters: number of network parameters, if there is a checkpoint.
        images: score of each validated image, averaged over repetitions.
        folds_hash: hash of the folds, if recorded by the runs.
        notes: notes on missing or unfinished folds.
    """

    path: Path
    config: dict[str, Any]
    scores: dict[Fold, float] = field(default_factory=dict)
    source: str = "fit"
    epochs: list[int | str] = field(default_factory=list)
    seconds: float = 0.0
    parameters: int | None = None
    images: dict[str, float] = field(default_factory=dict)
    folds_hash: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """Class and arguments of the metric as text; scores of different metrics cannot be compared."""
        return to_yaml(self.config["competition"]["metric"], sort_keys=True)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is better."""
        module, _, name = self.config["competition"]["metric"]["class_path"].rpartition(".")
        return getattr(import_module(module), name).higher_is_better

    def mean(self, folds: list[Fold] | None = None) -> float:
        """Mean score over folds (by default, all)."""
        values = [self.scores[fold] for fold in (self.scores if folds is None else folds)]
        return float(np.mean(values)) if values else math.nan

    def spread(self) -> float:
        """Standard deviation over folds; NaN for fewer than two."""
        return float(np.std(list(self.scores.values()), ddof=1)) if len(self.scores) > 1 else math.nan


def summarise(path: Path | str, missing: Missing = "refuse") -> Summary:
    """Summarise an experiment or a single run.

    Args:
        path: folder of the experiment or run.
        missing: handling of missing folds: `refuse` or `skip`.

    Raises:
        FileNotFoundError: if there is no trained run.
        ValueError: if the folder is a study of `tune`, a fold is missing, or scores are of outdated checkpoints.
    """
    path = Path(path)
    if (path / "study.json").is_file():
        raise ValueError(
            f"{path} is a study of `tune`, whose trials are not folds; compare single trials: {path}/trial000 …"
        )
    alone = (path / "config.yaml").is_file()
    runs = {(0, run.path.name): run for run in fold_runs(path)}
    for file in sorted(path.glob("repeat*/*/config.yaml")):
        repeat = file.parent.parent.name.removeprefix("repeat")
        if repeat.isdigit():
            runs[int(repeat), file.parent.name] = RunFolder(file.parent)
    first = next(iter(runs.values()))
    summary = Summary(path, read_yaml(first.config), folds_hash=first.read_facts().get("folds_hash"))
    if alone:  # regardless of its folder name, as for trials of `tune`
        runs = {(0, fold_name(summary.config["data"]["init_args"]["fold"])): first}
    facts = first.read_facts()
    if "rule" in facts and "members" in facts:
        for store in map(PredictionStore, first.predictions.glob("*/")):
            store.check_sources()
        _ensemble(summary, facts)
        return summary
    table = {} if alone else _crossval(path)
    for fold, run in runs.items():
        if table and fold not in table:
            summary.notes.append(f"{_name(fold)} is left out: it is not in crossval.csv")
        else:
            _add(summary, fold, run, table.get(fold))
    summary.source = "crossval" if table else "fit"
    summary.parameters = count_parameters(first)
    summary.images = _image_scores(path / "out_of_fold.csv") if table else _of_runs(summary, runs)
    if not alone:
        _missing(summary, fold_runs(path), missing)
    return summary


def _ensemble(summary: Summary, facts: dict[str, Any]) -> None:
    summary.source = "ensemble"
    if facts.get("cross_fitted") is not None:
        summary.scores[0, "ensemble"] = float(facts["cross_fitted"])
    else:
        summary.notes.append("an ensemble that was not scored")


def _add(summary: Summary, fold: Fold, run: RunFolder, row: dict[str, str] | None) -> None:
    name = _name(fold)
    state = run.read_facts().get("state")
    if state != "finished":
        summary.notes.append(f"{name} is unfinished ({state or 'no run.json'}) and left out")
        return
    try:
        score, epoch = best_score(run, summary.higher_is_better)
    except ValueError as error:
        score, epoch = math.nan, best_epoch(run)
        if row is None:
            summary.notes.append(f"{name} is left out: {error}")
            return
    if row is not None:
        if not row["score"]:
            summary.notes.append(f"{name} is left out: crossval.csv says {row['state']}")
            return
        check_scored(run, name)
        score = float(row["score"])
    summary.scores[fold] = score
    summary.epochs.append(epoch)
    summary.seconds += training_seconds(run)


def check_scored(run: RunFolder, name: str) -> None:
    """Reject `crossval` scores of a checkpoint that has changed.

    Raises:
        ValueError: if the scores are outdated; names the run.
    """
    record, file = run.path / "member.json", find_checkpoint(run.path, "best")
    predicted = read_json(record).get("predicted") if record.is_file() else None
    if predicted is not None and file is not None and predicted != file_hash(file):
        raise ValueError(
            f"the scores of {name} in {run.path.parent} are outdated: they are of an earlier checkpoint than {file}; "
            "run crossval again"
        )


def _name(fold: Fold) -> str:
    return f"repeat{fold[0]}/{fold[1]}" if fold[0] else fold[1]


def _crossval(path: Path) -> dict[Fold, dict[str, str]]:
    """Rows of `crossval.csv` by fold."""
    file = path / "crossval.csv"
    if not file.is_file():
        return {}
    with open(file, newline="") as handle:
        rows = list(csv.DictReader(handle))
    found = {}
    for row in rows:
        run = Path(row["run"])
        repeat = run.parent.name.removeprefix("repeat")
        found[int(repeat) if repeat.isdigit() and run.parent.name != repeat else 0, run.name] = row
    return found


def _image_scores(file: Path) -> dict[str, float]:
    """Score of each image in `out_of_fold.csv` or `scores.csv`; the mean over several rows."""
    found: dict[str, list[float]] = defaultdict(list)
    if file.is_file():
        with open(file, newline="") as handle:
            for row in csv.DictReader(handle):
                found[row["image_id"]].append(float(row["score"]))
    return {image_id: float(np.mean(values)) for image_id, values in found.items()}


def _of_runs(summary: Summary, runs: dict[Fold, RunFolder]) -> dict[str, float]:
    images: dict[str, float] = {}
    for fold in summary.scores:
        images |= _image_scores(runs[fold].path / "scores.csv")
    return images


def _missing(summary: Summary, runs: list[RunFolder], missing: Missing) -> None:
    """Note or reject folds of the folds file that were never started."""
    check_folds_there(summary.path, runs, missing, summary.notes.append)
    file = summary.config["data"]["init_args"].get("folds")
    if file is not None and not Path(file).is_file():
        summary.notes.append(f"{file} not found, so missing folds are unknown")


def count_parameters(run: RunFolder) -> int | None:
    """Number of network parameters in a run's best checkpoint, including frozen ones, without BatchNorm statistics;
    None without a checkpoint."""
    from lightning_modules.weights import read_checkpoint

    try:
        weights = read_checkpoint(run.checkpoint("best"))["state_dict"]
    except (FileNotFoundError, ValueError):
        return None
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(
        value.numel()
        for name, value in weights.items()
        if name.startswith("network.") and not name.endswith(statistics)
    )
