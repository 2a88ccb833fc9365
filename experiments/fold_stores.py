"""What the folds of an experiment have predicted, with what is old or missing refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from datamodules.plain import BaseData
from evaluation.divide import TRAIN_ONLY
from evaluation.folds import read_folds
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from predictions.splits import split_folder
from predictions.store import PredictionStore

Missing = Literal["refuse", "skip"]


def absent_folds(runs: list[RunFolder]) -> tuple[list[int], list[int], list[str]]:
    """Folds without a run: those that are missing, all there should be, and the files that say so.

    Runs on all rows or on the author's own split are no folds, and neither is what `ensemble` and `stack` write.
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
    """Refuse an experiment of several folds that lacks others.

    A single fold is a division of its own into training and validation images: it is said to be alone.

    Args:
        experiment: folder.
        runs: all runs in it.
        missing: `skip` takes those that are there.
        note: takes what is missing and not refused; printed unless given.

    Raises:
        ValueError: names the folds that are missing.
    """
    absent, expected, files = absent_folds(runs)
    if not absent:
        return
    text = f"{len(absent)} of {len(expected)} folds were not trained: {', '.join(map(str, absent))}"
    if len(expected) - len(absent) > 1 and missing == "refuse":
        raise ValueError(
            f"{experiment}: {text} ({', '.join(files)} has them); train and predict them (python cli.py fit … "
            f"--data.fold {absent[0]}), or take the others alone: --missing skip"
        )
    if note is None:
        print(f"note: {experiment}: {text}")
    else:
        note(text)


def open_store(data: BaseData, run: RunFolder, split: str) -> PredictionStore:
    """What a run has predicted of the images that the config names.

    Args:
        data: of the config.
        run: the run.
        split: `val`, `test` or a folder of images.

    Raises:
        FileNotFoundError: it was not predicted.
        ValueError: by another checkpoint, from other files, or other images than the config names; names the first.
    """
    inputs = data.predict_inputs("train" if split == "val" else split)
    store = PredictionStore.open(run.predictions / split_folder(split), inputs)
    ids = set(store.ids())
    unknown, lacking = sorted(ids - inputs.keys()), sorted(inputs.keys() - ids)
    if unknown or (lacking and split != "val"):
        what = f"{unknown[0]!r}, which is no image" if unknown else f"no prediction of {lacking[0]!r}, an image"
        raise ValueError(
            f"{store.path} holds {what} of {split} in {data.root}: these are old results, or the config names other "
            f"images ({len(unknown)} unknown, {len(lacking) if split != 'val' else 0} missing); run predict again"
        )
    return store
