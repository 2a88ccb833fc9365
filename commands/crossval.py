"""The verb `crossval`: train and score every fold of every repetition, in parallel on several GPUs."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commands.command_line.config import read_config
from commands.command_line.passed_on import check_counts, options_and_settings
from evaluation.folds import read_folds
from evaluation.interval import bootstrap_interval
from evaluation.metrics.base import CompetitionMetric
from evaluation.splits import TRAIN_ONLY
from experiments.configuration import OfflineConfig
from experiments.devices import job_environments, run_tasks
from experiments.fit_settings import FitSettings
from experiments.members import Call, Member, make_folds_file, make_members, train_member
from experiments.processes import launch, terminate_children_on_exit
from experiments.run_facts import best_epoch, training_seconds
from experiments.stored_predictions import out_of_fold
from experiments.tables import as_text
from files.paths import text_hash
from files.writing import write_csv
from postprocessing.search import SearchImage
from predictions.store import PredictionStore

COLUMNS = ("repeat", "fold", "seed", "best_epoch", "score", "seconds", "state", "run")
REFUSED = ("overwrite", "ckpt_path", "data.fold", "run_folder", "cv.repeat")


@dataclass
class Options:
    """Options of `crossval`.

    Args:
        folds: Folds to train, such as 0,1,2; by default, all folds of the folds file.
        repeats: Number of repetitions, each with new folds; by default, `cv.repeats`.
        seed_per_fold: Whether each fold comes from a split with its own seed; by default, `cv.seed_per_fold`.
        devices: GPU indices, such as 0,1; `auto` for all GPUs, `none` for the CPU.
        jobs: Number of runs trained in parallel; by default, one per GPU, or one on the CPU.
    """

    folds: str | None = None
    repeats: int | None = None
    seed_per_fold: bool | None = None
    devices: str = "auto"
    jobs: int | None = None


def main(arguments: list[str], call: Call = launch) -> None:
    """Train, predict and score all runs."""
    options, given = parse(arguments)
    experiment = given.experiment_folder()
    with terminate_children_on_exit():
        members = plan(options, given, experiment, call)
        failed = train_all(members, given, options, call)
    trained = [member for member in members if member.name not in failed]
    scores, divisions, mean = score_members(trained, given.offline(), experiment)
    rows = table(members, failed, dict(zip((member.name for member in trained), scores, strict=True)))
    write_csv(experiment / "crossval.csv", COLUMNS, rows)
    print("\n" + as_text(COLUMNS, rows))
    for repeat, metric in sorted(divisions.items()) if not options.seed_per_fold else ():
        low, high = bootstrap_interval(metric)
        images = f"over {len(metric.rows)} images"
        print(f"repeat {repeat}: out-of-fold score {float(metric.compute()):.4f}  [{low:.4f}, {high:.4f}] {images}")
    if len(scores) > 1:
        print(f"mean of {len(scores)} runs: {np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}")
    if mean is not None:
        print(f"averaged predictions: {float(mean.compute()):.4f} ({experiment}/out_of_fold)")
    print(f"table: {experiment}/crossval.csv; image scores: {experiment}/out_of_fold.csv")
    if failed:
        text = "\n  ".join(f"{name}: {cause}" for name, cause in failed.items())
        raise SystemExit(
            f"error: {len(failed)} of {len(members)} runs failed; the same command retries them:\n  {text}"
        )
    print(f"next:  python cli.py search {experiment}\n       python cli.py submit {experiment}")


def parse(arguments: list[str]) -> tuple[Options, FitSettings]:
    """The verb's own options, and the settings passed on to `fit`."""
    takes = "--config FILE [options] [--key value …]"
    description = "Train, predict and score every fold; other flags go to fit. Finished runs are skipped."
    options, given = options_and_settings("crossval", arguments, Options, takes, description, REFUSED, "run")
    if options.repeats is None:
        options.repeats = int(given.setting("cv.repeats", 1))
    if options.seed_per_fold is None:
        options.seed_per_fold = str(given.setting("cv.seed_per_fold", False)).lower() == "true"
    check_counts(repeats=options.repeats, jobs=options.jobs)
    return options, given


def plan(options: Options, given: FitSettings, experiment: Path, call: Call) -> list[Member]:
    """Plan the runs and write their folds files."""
    folds = make_folds_file(given, call)
    present = sorted(set(read_folds(folds)["fold"]) - {TRAIN_ONLY})
    try:
        numbers = present if options.folds is None else sorted({int(part) for part in options.folds.split(",")})
    except ValueError:
        raise SystemExit(f"error: --folds {options.folds}: expected fold numbers such as 0,1,2") from None
    if absent := sorted(set(numbers) - set(present)):
        raise SystemExit(f"error: --folds: {folds} has no fold {absent[0]}, only {present}")
    seed = int(given.setting("seed_everything", 0))
    members = make_members(experiment, folds, numbers, options.repeats or 1, seed, bool(options.seed_per_fold))
    for file, repeat in dict.fromkeys((member.folds, member.repeat) for member in members):
        own = given.offline().with_flags({"cv.repeat": repeat, "data.folds": file})
        if not file.is_file() and call(["folds", *own.arguments()]):
            raise SystemExit(f"error: `folds` failed for repetition {repeat}")
    return members


def train_all(members: list[Member], given: FitSettings, options: Options, call: Call) -> dict[str, str]:
    """Train runs in parallel; return the error of each failed run by name."""
    environments = job_environments(options.devices, options.jobs, len(members))
    failed: dict[str, str] = {}

    def train(member: Member, environment: dict[str, str]) -> None:
        begin, device = time.monotonic(), environment.get("CUDA_VISIBLE_DEVICES")
        member.run.path.mkdir(parents=True, exist_ok=True)
        log = member.run.path / "crossval.log" if len(environments) > 1 else None
        where = ("" if device is None else f" on GPU {device}") + ("" if log is None else f", output in {log}")
        print(f"# {member.name}, seed {member.seed}{where}", flush=True)
        try:
            train_member(member, given, call, environment, log)
        except Exception as error:  # other runs continue; the summary names the failed one
            failed[member.name] = f"{error} ({member.run.path})"
        state = f"failed: {failed[member.name]}" if member.name in failed else "done"
        print(f"# {member.name} {state} after {time.monotonic() - begin:.0f} s", flush=True)

    run_tasks(members, train, environments)
    return failed


# --- the table -------------------------------------------------------------------------------------------------------


def table(members: Sequence[Member], failed: dict[str, str], scores: dict[str, float]) -> list[tuple]:
    """One row per run, with `COLUMNS`."""
    rows = []
    for member in members:
        epoch, seconds = best_epoch(member.run), training_seconds(member.run)
        score = f"{scores[member.name]:.6f}" if member.name in scores else ""
        state = "failed" if member.name in failed else "finished"
        rows.append((member.repeat, member.fold, member.seed, epoch, score, f"{seconds:.0f}", state, member.run.path))
    return rows


def member_cases(member: Member, settings: FitSettings) -> tuple[OfflineConfig, list[SearchImage]]:
    """Validation images of a run with predictions and targets."""
    own = settings.with_flags({"data.folds": member.folds, "data.fold": member.fold})
    config = replace(read_config("crossval", own.arguments()), runs=[member.run])
    return config, out_of_fold(config)


def score_members(
    members: Sequence[Member], settings: FitSettings, experiment: Path
) -> tuple[list[float], dict[int, CompetitionMetric], CompetitionMetric | None]:
    """Score trained runs.

    Several predictions of an image (repetitions, a seed per fold) are averaged into the store
    `<experiment>/out_of_fold`, with one entry per image; `out_of_fold.csv` lists the runs that predicted each image
    and its score in each.

    Args:
        members: runs with predictions of their validation images.
        settings: configs and flags that offline verbs use.
        experiment: folder of the experiment.

    Returns:
        The score of each run; the metric over the images of each repetition; the metric of the averaged predictions,
        None if no image has several.
    """
    scores: list[float] = []
    divisions: dict[int, CompetitionMetric] = {}
    predicted: dict[str, list[SearchImage]] = {}
    rows: list[tuple[Any, ...]] = []
    config = None
    for member in members:
        config, cases = member_cases(member, settings)
        division = divisions.setdefault(member.repeat, config.competition.metric)
        for case in cases:
            target = case.targets()
            prediction = config.competition.process(case.prediction(), target)
            division.add(case.image_id, prediction, target)
            predicted.setdefault(case.image_id, []).append(case)
        own = {case.image_id: division.rows[case.image_id] for case in cases}
        scores.append(float(division.reduce(np.stack([own[image_id] for image_id in sorted(own)]))))
        rows += [
            (image_id, member.repeat, member.fold, division.image_score(row), member.run.path)
            for image_id, row in own.items()
        ]
    write_csv(experiment / "out_of_fold.csv", ("image_id", "repeat", "fold", "score", "run"), sorted(rows, key=str))
    mean = None
    if config is not None and any(len(cases) > 1 for cases in predicted.values()):
        mean = copy.deepcopy(config.competition.metric)
        mean.reset()
        store = mean_store(experiment / "out_of_fold", predicted, members)
        for image_id, cases in predicted.items():
            target = cases[0].targets()
            mean.add(image_id, config.competition.process(store.read(image_id), target), target)
    return scores, divisions, mean


def mean_store(path: Path, predicted: dict[str, list[SearchImage]], members: Sequence[Member]) -> PredictionStore:
    """Write the mean of each image's out-of-fold predictions; an interrupted call is resumed."""
    stores = [PredictionStore(member.run.predictions / "val") for member in members]
    made_by = text_hash("\n".join(f"{one.path} {one.state()}" for one in stores))
    store = PredictionStore(path)
    for image_id in store.begin(sorted(predicted), made_by, stores=stores):
        entries = [case.prediction() for case in predicted[image_id]]
        mean = {name: np.mean([entry[name] for entry in entries], axis=0, dtype=np.float32) for name in entries[0]}
        store.write(image_id, mean, dtype="float16")
    store.finish()
    return store
