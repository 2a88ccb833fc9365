"""The trainings of a study: what comes next, on which device, what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.devices import job_environments, run_tasks
from experiments.fit_settings import FitSettings
from experiments.members import Call
from experiments.proposals import grid, grid_size, random, tpe
from experiments.run_facts import training_seconds
from experiments.space import locate, overlay
from experiments.study import Study, Trial, best_score, failure, write_overlay

TRIALS = 20
PATIENCE = 3  # failures at the beginning after which the others would fail too


@dataclass(frozen=True)
class Search:
    """How a study is searched.

    Args:
        method: `grid`, `random` or `tpe`.
        trials: how many; None is the whole grid, or 20 of the others.
        seed: of the values.
        devices: GPUs by number, `auto` or `none`.
        jobs: trials at a time; None is one per GPU.
        keep_all: keep all checkpoints, not only the best trial's.
    """

    method: str
    trials: int | None
    seed: int
    devices: str
    jobs: int | None
    keep_all: bool


def propose(study: Study, search: Search) -> dict[str, Any]:
    """Values of the next trial."""
    if search.method == "tpe":
        return tpe(study.axes, study.tried(), search.seed, study.maximise)
    number = len(study.trials)
    return grid(study.axes, number) if search.method == "grid" else random(study.axes, number, search.seed)


def wanted(study: Study, search: Search) -> int:
    """How many trials the study is to have."""
    if search.method != "grid":
        return search.trials or TRIALS
    size = grid_size(study.axes)
    return min(size, search.trials or size)


def run_trials(study: Study, search: Search, given: FitSettings, config: dict[str, Any], call: Call) -> None:
    """Run what is missing, as many at a time as there are GPUs; the table is written after each."""
    count = wanted(study, search)
    left = [trial for trial in study.trials if trial.state == "running"]
    todo = len(left) + max(0, count - len(study.trials))
    done = len(study.trials) - len(left)
    print(f"# {study.folder}: {done} trials done, {todo} to run ({search.method})", flush=True)

    def missing() -> Iterator[Trial]:
        yield from left
        while len(study.trials) < count:
            yield study.begin(propose(study, search))

    def note_and_go_on(trial: Trial) -> bool:
        note(trial, study, search.keep_all)
        return len(study.trials) < PATIENCE or any(one.state != "failed" for one in study.trials)

    environments = job_environments(search.devices, search.jobs, todo)
    run_tasks(
        missing(),
        lambda trial, environment: run_trial(trial, study, given, config, call, environment),
        environments,
        note_and_go_on,
    )


def run_trial(
    trial: Trial, study: Study, given: FitSettings, config: dict[str, Any], call: Call, environment: dict[str, str]
) -> None:
    """One `fit`; the trial then says how it ended."""
    values = ", ".join(f"{axis.key} {axis.text(trial.values[axis.key])}" for axis in study.axes)
    print(f"# trial {trial.number}: {values}; output in {trial.log}", flush=True)
    write_overlay(trial, overlay(config, {locate(config, key): value for key, value in trial.values.items()}))
    own = given.with_configs(trial.overlay).with_flags({"run_folder": trial.run.path, "trainer.devices": 1})
    begun = trial.run.checkpoint_file.is_file() or (trial.run.path / "stages.json").is_file()
    own = own.with_flags({"ckpt_path": "last"}) if begun else own
    if not begun:
        trial.log.unlink(missing_ok=True)
    try:
        status = call(["fit", *own.arguments()], environment, trial.log)
        if status or trial.run.read_facts().get("state") != "finished":
            raise RuntimeError(failure(trial.log, status))
        trial.score, trial.epoch = best_score(trial.run, study.maximise)
        trial.state, trial.seconds = "finished", training_seconds(trial.run)
    except Exception as error:  # the others go on, and the table names it
        trial.state, trial.reason = "failed", str(error)


def note(trial: Trial, study: Study, keep_all: bool) -> None:
    """Write what came of a trial, and clear checkpoints that nobody needs."""
    trial.write()
    study.save()
    result = f"failed: {trial.reason} ({trial.log})" if trial.score is None else f"val/score {trial.score:.4f}"
    print(f"# trial {trial.number} {result}", flush=True)
    best = study.best()
    for one in () if keep_all else study.trials:
        if one.state != "running" and one is not best:
            for file in one.run.path.rglob("*.ckpt"):
                file.unlink()
