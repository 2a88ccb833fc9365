"""Predictions of the folds of an experiment; stale or missing ones are rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from datamodules.plain import BaseData
from evaluation.folds import read_folds
from evaluation.splits import TRAIN_ONLY
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from predictions.splits import split_folder
from predictions.store import PredictionStore

Missing = Literal["refuse", "skip"]


def absent_folds(runs: list[RunFolder]) -> tuple[list[int], list[int], list[str]]:
    """Folds without a run: missing folds, all expected folds, and the folds files.

    Runs on all images or on a given split are not folds; neither are the runs written by `ensemble` and `stack`.
    """
    present, files = set(), {}
    for run in runs:
        data = read_yaml(run.config).get("data", {}).get("init_args") or {}
        fold, file = data.get("fold", 0), data.get("folds")
        if isinstance(fold, int) and file is not None and "members" not in run.read_facts():
            present.add(fold)
            files[file] = Path(file).is_file()
    there = [file for file, is_there in files.items() if is_there]
    expected = {int(fold) for file in there for fold in read_folds(file)["fold"]} - {TRAIN_ONLY}
    return sorted(expected - present), sorted(expected), there


def check_folds_there(
    experiment: Path, runs: list[RunFolder], missing: Missing, note: Callable[[str], None] | None = None
) -> None:
    """Reject an experiment of several folds with missing folds.

    A single fold is accepted as a split into training and validation images, with a note.

    Args:
        experiment: experiment folder.
        runs: all runs of the experiment.
        missing: `skip` accepts missing folds.
        note: function called with a note on accepted missing folds; by default, it is printed.

    Raises:
        ValueError: if folds are missing; names them.
    """
    absent, expected, files = absent_folds(runs)
    if not absent:
        return
    text = f"{len(absent)} of {len(expected)} folds are not trained: {', '.join(map(str, absent))}"
    if len(expected) - len(absent) > 1 and missing == "refuse":
        raise ValueError(
            f"{experiment}: {text} (see {', '.join(files)}); train and predict them (python cli.py fit … "
            f"--data.fold {absent[0]}), or use the other folds only: --missing skip"
        )
    if note is None:
        print(f"note: {experiment}: {text}")
    else:
        note(text)


def open_store(data: BaseData, run: RunFolder, split: str) -> PredictionStore:
    """Open the predictions of a run, for the images of the config.

    Args:
        data: data of the config.
        run: run folder.
        split: `val`, `test` or a folder of images.

    Raises:
        FileNotFoundError: if the split was not predicted.
        ValueError: if the predictions are from another checkpoint, other files or other images; names the first.
    """
    inputs = data.predict_inputs("train" if split == "val" else split)
    store = PredictionStore.open(run.predictions / split_folder(split), inputs)
    ids = set(store.ids())
    unknown, lacking = sorted(ids - inputs.keys()), sorted(inputs.keys() - ids)
    if unknown or (lacking and split != "val"):
        what = f"{unknown[0]!r}, which is not an image" if unknown else f"no prediction of {lacking[0]!r}, an image"
        raise ValueError(
            f"{store.path} contains {what} of {split} in {data.root}: predictions are outdated, or the config has "
            f"other images ({len(unknown)} unknown, {len(lacking) if split != 'val' else 0} missing); run predict again"
        )
    return store
