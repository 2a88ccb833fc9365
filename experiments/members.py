"""The members of a cross-validation: a run per fold and repetition, with seeds and a folds file of its own."""

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
    """Runs `cli.py` with arguments; returns its status."""

    def __call__(
        self, arguments: list[str], environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> int: ...


@dataclass
class Member:
    """One training of a cross-validation.

    Args:
        repeat: number of its repetition; 0 is that of the plain folds file.
        fold: that it validates.
        folds: its folds file.
        seed: of its weights and samples.
        run: its run folder.
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
        """File with what `crossval` knows about it."""
        return self.run.path / "member.json"

    def known(self) -> dict:
        """What the record says, or nothing."""
        return read_json(self.record) if self.record.is_file() else {}

    def is_finished(self) -> bool:
        """Whether its training has ended."""
        return self.run.read_facts().get("state") == "finished"

    def settings(self, given: FitSettings) -> FitSettings:
        """What its `fit` is given."""
        own = {"data.fold": self.fold, "data.folds": self.folds, "seed_everything": self.seed, "data.seed": self.seed}
        return given.with_flags(own)


def make_folds_file(given: FitSettings, call: Call) -> Path:
    """The folds file of a training, written where there is none yet."""
    folds = given.folds_file()
    if not folds.is_file() and call(["folds", *given.offline().with_flags({"data.folds": folds}).arguments()]):
        raise SystemExit("error: `folds` failed, so nothing can be trained")
    return folds


def make_members(
    experiment: Path, folds: Path, numbers: list[int], repeats: int, seed: int, seed_per_fold: bool
) -> list[Member]:
    """Every fold of every repetition.

    Args:
        experiment: folder; the first repetition lies there as single runs do, others in `repeat<r>/`.
        folds: the plain folds file; repetition r has `<name>_repeat<r>.csv` beside it.
        numbers: folds that are trained.
        repeats: repetitions.
        seed: of the first repetition, that of a plain `fit`. All others follow from it, repetition and fold.
        seed_per_fold: fold k is that of repetition k.
    """
    if seed_per_fold and repeats > 1:
        raise SystemExit("error: cv.seed_per_fold has a division for each fold already; leave repeats at 1")
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
    """The plain seed for the first repetition, so that its runs are those of `fit`; else one of its own."""
    return int(np.random.SeedSequence([seed, repeat, fold]).generate_state(1)[0]) if repeat else seed


def train_member(
    member: Member,
    given: FitSettings,
    call: Call,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> None:
    """`fit` and `predict` of a member, as far as they are not done.

    Args:
        member: what to train.
        given: configs and flags of the cross-validation.
        call: runs a verb.
        environment: of its processes.
        log: file for their output.

    Raises:
        RuntimeError: a verb failed, or the member was trained with other settings; says what to do.
    """
    own, run = member.settings(given), member.run
    contents = [file_hash(file) for file in [*own.configs, member.folds]]
    settings, known = text_hash("\n".join([*own.arguments(), *contents])), member.known()
    if not member.is_finished():
        begun = run.checkpoint_file.is_file() or (run.path / "stages.json").is_file()
        write_json(member.record, {"settings": settings})
        now = own.with_flags({"run_folder": run.path} | ({"ckpt_path": "last"} if begun else {}))
        status = call(["fit", *now.arguments()], environment, log)
        if status or not member.is_finished():
            raise RuntimeError(f"fit ended with status {status}")
    elif known.get("settings", settings) != settings:
        raise RuntimeError(
            f"{run.path} was trained with other settings; put them back, delete it, or give another --experiment"
        )
    elif not known:
        print(f"# {member.name}: {run.path} was trained by `fit` before and is taken as it is", flush=True)
    checkpoint = file_hash(run.checkpoint("best"))
    is_there = (run.predictions / "val" / "manifest.json").is_file()
    if known.get("predicted") != checkpoint or not is_there or not is_current(run):
        status = call(["predict", str(run.path)], environment, log)
        if status:
            raise RuntimeError(f"predict ended with status {status}")
        write_json(member.record, {"settings": settings, "predicted": checkpoint})


def is_current(run: RunFolder) -> bool:
    """Whether whatever a run has predicted is whole, and made from the checkpoint and the files of now."""
    try:
        return all(PredictionStore.open(path.parent).untouched() for path in run.predictions.glob("*/manifest.json"))
    except ValueError:
        return False
