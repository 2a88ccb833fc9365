"""`crossval`: every fold of every repetition, as many at a time as there are GPUs; one table, one score."""

import argparse
import copy
import os
import queue
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from commands.command_line.config import read_config
from evaluation.divide import TRAIN_ONLY
from evaluation.folds import read_folds
from evaluation.interval import bootstrap_interval
from evaluation.metrics.base import CompetitionMetric
from experiments.arguments import check_order, config_files, experiment_name, flags_for_offline, setting
from experiments.configuration import OfflineConfig
from experiments.devices import visible_devices
from experiments.members import Call, Member, make_members, train_member
from experiments.processes import children_end_with_us, launch
from experiments.run_facts import best_epoch, training_seconds
from experiments.stored_predictions import out_of_fold
from experiments.tables import as_text
from files.paths import text_hash
from files.writing import write_csv
from postprocessing.search import Case
from predictions.store import PredictionStore

COLUMNS = ("repeat", "fold", "seed", "best_epoch", "score", "seconds", "state", "run")
REFUSED = ("--overwrite", "--ckpt_path", "--data.fold", "--data.init_args.fold", "--run_folder", "--cv.repeat")


def main(arguments: list[str], call: Call = launch) -> None:
    """Train, predict and score all members; `arguments` is what follows the verb."""
    options, given = parse(arguments)
    files = config_files(given)
    name = setting(files, given, "experiment", None) or experiment_name(given)
    experiment = Path(setting(files, given, "runs", "runs")) / name
    folds = Path(setting(files, given, "data.folds", None) or f"folds/{experiment_name(given)}.csv")
    with children_end_with_us():
        members = plan(options, given, experiment, folds, call)
        failed = train_all(members, given, options, call)
    trained = [member for member in members if member.name not in failed]
    scores, divisions, mean = score_members(trained, flags_for_offline(given), experiment)
    rows = table(members, failed, dict(zip((member.name for member in trained), scores, strict=True)))
    write_csv(experiment / "crossval.csv", COLUMNS, rows)
    print("\n" + as_text(COLUMNS, rows))
    for repeat, metric in sorted(divisions.items()) if not options.seed_per_fold else ():
        low, high = bootstrap_interval(metric)
        images = f"over {len(metric.rows)} images"
        print(f"repeat {repeat}: out-of-fold score {float(metric.compute()):.4f}  [{low:.4f}, {high:.4f}] {images}")
    if len(scores) > 1:
        print(f"mean of {len(scores)} members: {np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}")
    if mean is not None:
        print(f"mean of the predictions of an image: {float(mean.compute()):.4f} ({experiment}/out_of_fold)")
    print(f"the table: {experiment}/crossval.csv; every image: {experiment}/out_of_fold.csv")
    if failed:
        text = "\n  ".join(f"{name}: {cause}" for name, cause in failed.items())
        raise SystemExit(
            f"error: {len(failed)} of {len(members)} members failed; try again with the same command:\n  {text}"
        )
    print(f"next:  python cli.py search {experiment}\n       python cli.py submit {experiment}")


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The verb's own options, and what is passed on to `fit`."""
    parser = argparse.ArgumentParser(
        prog="python cli.py crossval",
        usage="python cli.py crossval --config FILE [options] [--key value …]",
        description="Train, predict and score every fold; other flags go to fit. Finished members are skipped.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", help="folds to train, such as 0,1,2; all of the folds file unless given")
    parser.add_argument("--repeats", type=int, help="repetitions with new divisions; cv.repeats, else 1")
    parser.add_argument("--seed_per_fold", type=yaml.safe_load, help="a division per fold; cv.seed_per_fold")
    parser.add_argument("--devices", default="auto", help="GPUs by number, such as 0,1; `auto` all, `none` the CPU")
    parser.add_argument("--jobs", type=int, help="members trained at a time; one per GPU, on the CPU one")
    options, given = parser.parse_known_args(arguments)
    check_order(given)
    files = config_files(given)
    missing = [str(file) for file in files if not file.is_file()]
    if not files or missing:
        raise SystemExit(f"error: no config file {missing[0]}" if missing else "error: crossval needs --config FILE")
    wrong = [flag for argument in given if (flag := argument.split("=")[0]) in REFUSED]
    if wrong:
        raise SystemExit(f"error: {wrong[0]} is not for crossval, which settles it for each member; leave it out")
    if options.repeats is None:
        options.repeats = int(setting(files, given, "cv.repeats", 1))
    if options.seed_per_fold is None:
        options.seed_per_fold = str(setting(files, given, "cv.seed_per_fold", False)).lower() == "true"
    if options.repeats < 1 or (options.jobs is not None and options.jobs < 1):
        raise SystemExit(f"error: --repeats {options.repeats} and --jobs {options.jobs}: expected 1 or more")
    return options, given


def plan(options: argparse.Namespace, given: list[str], experiment: Path, folds: Path, call: Call) -> list[Member]:
    """The members, with their folds files made."""
    files, offline = config_files(given), flags_for_offline(given)
    if not folds.is_file() and call(["folds", *offline, "--data.folds", str(folds)]):
        raise SystemExit("error: `folds` failed, so nothing can be trained")
    present = sorted(set(read_folds(folds)["fold"]) - {TRAIN_ONLY})
    try:
        numbers = present if options.folds is None else sorted({int(part) for part in options.folds.split(",")})
    except ValueError:
        raise SystemExit(f"error: --folds {options.folds}: expected numbers such as 0,1,2") from None
    if absent := sorted(set(numbers) - set(present)):
        raise SystemExit(f"error: --folds: {folds} has no fold {absent[0]}, only {present}")
    seed = int(setting(files, given, "seed_everything", 0))
    members = make_members(experiment, folds, numbers, options.repeats, seed, options.seed_per_fold)
    for file, repeat in dict.fromkeys((member.folds, member.repeat) for member in members):
        if not file.is_file() and call(["folds", *offline, "--cv.repeat", str(repeat), "--data.folds", str(file)]):
            raise SystemExit(f"error: `folds` failed for repetition {repeat}")
    return members


def train_all(members: list[Member], given: list[str], options: argparse.Namespace, call: Call) -> dict[str, str]:
    """Train the members, some at a time; returns why some failed, by name."""
    devices = visible_devices(options.devices)
    jobs = min(options.jobs or max(1, len(devices)), len(members))
    free: queue.Queue[str | None] = queue.Queue()
    for slot in range(jobs):
        free.put(devices[slot % len(devices)] if devices else None)
    failed: dict[str, str] = {}

    def train(member: Member) -> None:
        device, begin = free.get(), time.monotonic()
        environment = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
        if jobs > 1 and device is None and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
        member.run.path.mkdir(parents=True, exist_ok=True)
        log = member.run.path / "crossval.log" if jobs > 1 else None
        where = ("" if device is None else f" on GPU {device}") + ("" if log is None else f", output in {log}")
        print(f"# {member.name}, seed {member.seed}{where}", flush=True)
        try:
            train_member(member, given, call, environment, log)
        except Exception as error:  # the others go on, and the end names it
            failed[member.name] = f"{error} ({member.run.path})"
        finally:
            free.put(device)
        state = f"failed: {failed[member.name]}" if member.name in failed else "done"
        print(f"# {member.name} {state} after {time.monotonic() - begin:.0f} s", flush=True)

    if jobs == 1:
        for member in members:
            train(member)
    else:
        pool = ThreadPoolExecutor(jobs)
        try:
            for done in [pool.submit(train, member) for member in members]:
                done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return failed


# --- the table -------------------------------------------------------------------------------------------------------


def table(members: Sequence[Member], failed: dict[str, str], scores: dict[str, float]) -> list[tuple]:
    """A row per member, as in `COLUMNS`."""
    rows = []
    for member in members:
        epoch, seconds = best_epoch(member.run), training_seconds(member.run)
        score = f"{scores[member.name]:.6f}" if member.name in scores else ""
        state = "failed" if member.name in failed else "finished"
        rows.append((member.repeat, member.fold, member.seed, epoch, score, f"{seconds:.0f}", state, member.run.path))
    return rows


def member_cases(member: Member, arguments: list[str]) -> tuple[OfflineConfig, list[Case]]:
    """The validation images of a member with its predictions and their truth."""
    given = [*arguments, "--data.folds", str(member.folds), "--data.fold", str(member.fold)]
    config = replace(read_config("crossval", given, lambda parser: None), runs=[member.run])
    return config, out_of_fold(config)


def score_members(
    members: Sequence[Member], arguments: list[str], experiment: Path
) -> tuple[list[float], dict[int, CompetitionMetric], CompetitionMetric | None]:
    """Score trained members.

    Several predictions of an image (repetitions, a division per fold) are averaged into the store
    `<experiment>/out_of_fold`, with one entry per image; `out_of_fold.csv` says which run predicted what, with the
    score of the image in it.

    Args:
        members: with predictions of their validation images.
        arguments: configs and flags that offline verbs know.
        experiment: folder.

    Returns:
        The score of each member; of each division the metric over its images; the metric of the averaged predictions,
        None where no image has several.
    """
    scores: list[float] = []
    divisions: dict[int, CompetitionMetric] = {}
    predicted: dict[str, list[Case]] = {}
    rows: list[tuple[Any, ...]] = []
    config = None
    for member in members:
        config, cases = member_cases(member, arguments)
        division = divisions.setdefault(member.repeat, config.competition.metric)
        for case in cases:
            truth = case.truth()
            prediction = config.competition.process(case.prediction(), truth)
            division.add(case.image_id, prediction, truth)
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
            truth = cases[0].truth()
            mean.add(image_id, config.competition.process(store.read(image_id), truth), truth)
    return scores, divisions, mean


def mean_store(path: Path, predicted: dict[str, list[Case]], members: Sequence[Member]) -> PredictionStore:
    """Write the mean of each image's out-of-fold predictions; goes on where it was cut off."""
    stores = [PredictionStore(member.run.predictions / "val") for member in members]
    made_by = text_hash("\n".join(f"{one.path} {one.state()}" for one in stores))
    store = PredictionStore(path)
    for image_id in store.begin(sorted(predicted), made_by, stores=stores):
        entries = [case.prediction() for case in predicted[image_id]]
        mean = {name: np.mean([entry[name] for entry in entries], axis=0, dtype=np.float32) for name in entries[0]}
        store.write(image_id, mean, dtype="float16")
    store.finish()
    return store
