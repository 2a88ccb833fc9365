"""The trainings of a study: what comes next, on which device, what came of it."""

import os
import threading
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from experiments.arguments import config_files, without_configs
from experiments.devices import visible_devices
from experiments.members import Call
from experiments.proposals import grid, grid_size, random, tpe
from experiments.run_facts import training_seconds
from experiments.space import locate, overlay
from experiments.study import Study, Trial, best_score, failure, write_overlay

TRIALS = 20
PATIENCE = 3  # failures at the beginning after which the others would fail too


def propose(study: Study, options: Namespace) -> dict[str, Any]:
    """Values of the next trial."""
    if options.method == "tpe":
        return tpe(study.axes, study.tried(), options.seed, study.maximise)
    number = len(study.trials)
    return grid(study.axes, number) if options.method == "grid" else random(study.axes, number, options.seed)


def wanted(study: Study, options: Namespace) -> int:
    """How many trials the study is to have."""
    if options.method != "grid":
        return options.trials or TRIALS
    size = grid_size(study.axes)
    return min(size, options.trials or size)


def run_trials(study: Study, options: Namespace, given: list[str], config: dict[str, Any], call: Call) -> None:
    """Run what is missing, as many at a time as there are GPUs; the table is written after each."""
    count = wanted(study, options)
    left = [trial for trial in study.trials if trial.state == "running"]
    todo = len(left) + max(0, count - len(study.trials))
    done = len(study.trials) - len(left)
    print(f"# {study.folder}: {done} trials done, {todo} to run ({options.method})", flush=True)
    devices: list[str | None] = [*visible_devices(options.devices)] or [None]
    jobs = min(options.jobs or len(devices), max(1, todo))
    alone = jobs == 1 or "OMP_NUM_THREADS" in os.environ
    share = {} if alone else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    lock, stopping = threading.Lock(), threading.Event()

    def take() -> Trial | None:
        if stopping.is_set():
            return None
        if left:
            return left.pop(0)
        return study.begin(propose(study, options)) if len(study.trials) < count else None

    def work(device: str | None) -> None:
        environment = share if device is None else {"CUDA_VISIBLE_DEVICES": device}
        while True:
            with lock:
                trial = take()
            if trial is None:
                return
            run_trial(trial, study, given, config, call, environment)
            with lock:
                if stopping.is_set():  # its process was ended with us; the next call goes on with it
                    return
                note(trial, study, options)
                if len(study.trials) >= PATIENCE and all(one.state == "failed" for one in study.trials):
                    stopping.set()

    slots = [devices[slot % len(devices)] for slot in range(jobs)]
    if jobs == 1:
        work(slots[0])
        return
    pool = ThreadPoolExecutor(jobs)
    try:
        for worker in [pool.submit(work, slot) for slot in slots]:
            worker.result()
    finally:
        stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)


def run_trial(
    trial: Trial, study: Study, given: list[str], config: dict[str, Any], call: Call, environment: dict[str, str]
) -> None:
    """One `fit`; the trial then says how it ended."""
    values = ", ".join(f"{axis.key} {axis.text(trial.values[axis.key])}" for axis in study.axes)
    print(f"# trial {trial.number}: {values}; output in {trial.log}", flush=True)
    write_overlay(trial, overlay(config, {locate(config, key): value for key, value in trial.values.items()}))
    files = [*config_files(given), trial.overlay]
    arguments = [part for file in files for part in ("--config", str(file))] + without_configs(given)
    arguments += ["--run_folder", str(trial.run.path), "--trainer.devices", "1"]
    begun = trial.run.checkpoint_file.is_file() or (trial.run.path / "stages.json").is_file()
    resume = ["--ckpt_path", "last"] if begun else []
    if not begun:
        trial.log.unlink(missing_ok=True)
    try:
        status = call(["fit", *arguments, *resume], environment, trial.log)
        if status or trial.run.read_facts().get("state") != "finished":
            raise RuntimeError(failure(trial.log, status))
        trial.score, trial.epoch = best_score(trial.run, study.maximise)
        trial.state, trial.seconds = "finished", training_seconds(trial.run)
    except Exception as error:  # the others go on, and the table names it
        trial.state, trial.reason = "failed", str(error)


def note(trial: Trial, study: Study, options: Namespace) -> None:
    """Write what came of a trial, and clear checkpoints that nobody needs."""
    trial.write()
    study.save()
    result = f"failed: {trial.reason} ({trial.log})" if trial.score is None else f"val/score {trial.score:.4f}"
    print(f"# trial {trial.number} {result}", flush=True)
    best = study.best()
    for one in study.trials if options.keep == "best" else ():
        if one.state != "running" and one is not best:
            for file in one.run.path.rglob("*.ckpt"):
                file.unlink()
