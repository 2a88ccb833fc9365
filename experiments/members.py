"""Members of a cross-validation: one run per fold and repetition, each with its seed and folds file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from experiments.fit_settings import FitSettings
from experiments.run_folder import RunFolder
from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import write_json
from predictions.store import PredictionStore


class Call(Protocol):
    """Function that runs `cli.py` with arguments and returns the exit status."""

    def __call__(
        self, arguments: list[str], environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> int: ...


@dataclass
class Member:
    """One run of a cross-validation.

    Args:
        repeat: repetition number; 0 uses the folds file of a single `fit`.
        fold: validation fold.
        folds: folds file.
        seed: random seed of weights and samples.
        run: run folder.
    """

    repeat: int
    fold: int
    folds: Path
    seed: int
    run: RunFolder

    @property
    def name(self) -> str:
        return f"repeat {self.repeat} fold {self.fold}"

    @property
    def record(self) -> Path:
        """Record file of `crossval`."""
        return self.run.path / "member.json"

    def known(self) -> dict:
        """Contents of the record, or an empty dict."""
        return read_json(self.record) if self.record.is_file() else {}

    def settings(self, given: FitSettings) -> FitSettings:
        """Settings of its `fit`."""
        own = {"data.fold": self.fold, "data.folds": self.folds, "seed_everything": self.seed, "data.seed": self.seed}
        return given.with_flags(own)


def make_folds_file(given: FitSettings, call: Call) -> Path:
    """Folds file of a training, written if it does not exist."""
    folds = given.folds_file()
    if not folds.is_file() and call(["folds", *given.offline().with_flags({"data.folds": folds}).arguments()]):
        raise SystemExit("error: `folds` failed; without folds nothing can be trained")
    return folds


def make_members(
    experiment: Path, folds: Path, numbers: list[int], repeats: int, seed: int, seed_per_fold: bool
) -> list[Member]:
    """Make the members: every fold of every repetition.

    Args:
        experiment: experiment folder, with the runs of the first repetition; others are in `repeat<r>/`.
        folds: folds file of the first repetition; repetition r uses `<name>_repeat<r>.csv` beside it.
        numbers: folds to train.
        repeats: number of repetitions.
        seed: seed of the first repetition, as in `fit`. Others are derived from it, repetition and fold.
        seed_per_fold: whether fold k is taken from the folds of repetition k.
    """
    if seed_per_fold and repeats > 1:
        raise SystemExit(
            f"error: repeats is {repeats}, expected 1 with cv.seed_per_fold, which splits anew for each fold"
        )
    members = []
    for repeat in range(repeats):
        for number in numbers:
            division = number if seed_per_fold else repeat
            file = folds.with_name(f"{folds.stem}_repeat{division}{folds.suffix}") if division else folds
            parent = experiment / f"repeat{repeat}" if repeat else experiment
            run = RunFolder(parent / f"fold{number}")
            members.append(Member(division, number, file, member_seed(seed, division, number), run))
    return members


def member_seed(seed: int, repeat: int, fold: int) -> int:
    """The given seed for the first repetition, so that its runs equal those of `fit`; else a derived seed."""
    return int(np.random.SeedSequence([seed, repeat, fold]).generate_state(1)[0]) if repeat else seed


def train_member(
    member: Member,
    given: FitSettings,
    call: Call,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> None:
    """Run `fit` and `predict` of a member unless finished.

    Args:
        member: member to train.
        given: configs and flags of the cross-validation.
        call: function that runs a verb.
        environment: environment variables of its processes.
        log: log file of their output.

    Raises:
        RuntimeError: if a verb failed, or the member was trained with other settings.
    """
    own, run = member.settings(given), member.run
    contents = [file_hash(file) for file in [*own.configs, member.folds]]
    settings, known = text_hash("\n".join([*own.arguments(), *contents])), member.known()
    if not run.is_finished():
        write_json(member.record, {"settings": settings})
        now = own.with_flags({"run_folder": run.path} | ({"ckpt_path": "last"} if run.has_begun() else {}))
        status = call(["fit", *now.arguments()], environment, log)
        if status or not run.is_finished():
            raise RuntimeError(f"fit ended with status {status}")
    elif known.get("settings", settings) != settings:
        raise RuntimeError(
            f"{run.path} was trained with other settings; restore them, delete the run, or set another --experiment"
        )
    elif not known:
        print(f"# {member.name}: {run.path} was trained by `fit` before and is kept", flush=True)
    checkpoint = file_hash(run.checkpoint("best"))
    is_there = (run.predictions / "val" / "manifest.json").is_file()
    if known.get("predicted") != checkpoint or not is_there or not is_current(run):
        status = call(["predict", str(run.path)], environment, log)
        if status:
            raise RuntimeError(f"predict ended with status {status}")
        write_json(member.record, {"settings": settings, "predicted": checkpoint})


def is_current(run: RunFolder) -> bool:
    """Whether the predictions of a run are complete and up to date with its checkpoint and files."""
    try:
        return all(PredictionStore.open(path.parent).untouched() for path in run.predictions.glob("*/manifest.json"))
    except ValueError:
        return False
