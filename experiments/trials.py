"""Trainings of a study: proposals, devices and results."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experiments.devices import job_environments, run_tasks
from experiments.fit_settings import FitSettings
from experiments.members import Call
from experiments.run_facts import training_seconds
from experiments.search_space import locate, overlay
from experiments.study import Study, Trial, best_score, failure, write_overlay
from experiments.trial_proposals import grid, grid_size, random, tpe

TRIALS = 20
PATIENCE = 3  # failures at the start after which the study stops


@dataclass(frozen=True)
class Search:
    """Search settings of a study.

    Args:
        method: `grid`, `random` or `tpe`.
        trials: number of trials; None is the whole grid, or 20 for other methods.
        seed: random seed of the values.
        devices: GPU indices, `auto` or `none`.
        jobs: number of parallel trials; None is one per GPU.
        keep_all: whether to keep the checkpoints of all trials rather than the best one.
    """

    method: str
    trials: int | None
    seed: int
    devices: str
    jobs: int | None
    keep_all: bool


def propose(study: Study, search: Search) -> dict[str, Any]:
    """Propose the values of the next trial."""
    if search.method == "tpe":
        return tpe(study.axes, study.tried(), search.seed, study.maximise)
    number = len(study.trials)
    return grid(study.axes, number) if search.method == "grid" else random(study.axes, number, search.seed)


def wanted(study: Study, search: Search) -> int:
    """Total number of trials of the study."""
    if search.method != "grid":
        return search.trials or TRIALS
    size = grid_size(study.axes)
    return min(size, search.trials or size)


def run_trials(study: Study, search: Search, given: FitSettings, config: dict[str, Any], call: Call) -> None:
    """Run the missing trials in parallel on the GPUs; the table is written after each."""
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
    """Run one `fit` and store its result in the trial."""
    values = ", ".join(f"{axis.key} {axis.text(trial.values[axis.key])}" for axis in study.axes)
    print(f"# trial {trial.number}: {values}; output in {trial.log}", flush=True)
    write_overlay(trial, overlay(config, {locate(config, key): value for key, value in trial.values.items()}))
    own = given.with_configs(trial.overlay).with_flags({"run_folder": trial.run.path, "trainer.devices": 1})
    if trial.run.has_begun():
        own = own.with_flags({"ckpt_path": "last"})
    else:
        trial.log.unlink(missing_ok=True)
    try:
        status = call(["fit", *own.arguments()], environment, trial.log)
        if status or not trial.run.is_finished():
            raise RuntimeError(failure(trial.log, status))
        trial.score, trial.epoch = best_score(trial.run, study.maximise)
        trial.state, trial.seconds = "finished", training_seconds(trial.run)
    except Exception as error:  # other trials continue; the table lists the failed one
        trial.state, trial.reason = "failed", str(error)


def note(trial: Trial, study: Study, keep_all: bool) -> None:
    """Write the result of a trial, and delete checkpoints that are not kept."""
    trial.write()
    study.save()
    result = f"failed: {trial.reason} ({trial.log})" if trial.score is None else f"val/score {trial.score:.4f}"
    print(f"# trial {trial.number} {result}", flush=True)
    best = study.best()
    for one in () if keep_all else study.trials:
        if one.state != "running" and one is not best:
            for file in one.run.path.rglob("*.ckpt"):
                file.unlink()
