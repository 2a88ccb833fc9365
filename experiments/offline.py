"""Verbs that work on files: folds, search, score, submit."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.table import rows_of
from evaluation.folds import make_folds, write_folds
from evaluation.interval import bootstrap_interval
from experiments.config import OfflineConfig, read_config
from experiments.curves import draw_search
from experiments.fold_stores import open_store
from experiments.searched import write_searched
from experiments.sending import send
from experiments.whole_set import Changed, changed_outputs, fold_numbers
from experiments.yaml_files import read_yaml
from postprocessing.predictions import PredictionStore, read_finite, read_mean
from postprocessing.search import Case, search
from preprocessing.files import file_hash


def main(verb: str, arguments: list[str]) -> None:
    """Run one offline verb; `arguments` is what follows it on the command line."""
    {"folds": folds, "search": search_chain, "score": score, "submit": submit}[verb](arguments)


# --- folds -----------------------------------------------------------------------------------------------------------


def folds(arguments: list[str]) -> None:
    """Write the folds file of a config."""

    def options(parser: Any) -> None:
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace a folds file that is there.")

    config = read_config("folds", arguments, options)
    path = Path(config.data.folds)
    if path.is_file() and not config.options.overwrite:
        raise SystemExit(
            f"error: {path} exists, and runs may depend on it; --overwrite true replaces it, "
            "--data.folds OTHER.csv writes another"
        )
    config.data.prepare_data()
    table = config.data.fold_table(config.cv)
    result = make_folds(table, config.cv)
    write_folds(result, path)
    held = result[result["fold"] >= 0]
    sizes = held.groupby("fold").size()
    print(f"{len(held)} of {len(result)} images in {len(sizes)} folds of {sizes.min()} to {sizes.max()}: {path}")
    grouped = len(result) - result["group"].nunique()
    if grouped:
        print(f"{grouped} images share a group or equal pixels with another and stay in its fold")
    print(f"next:  python cli.py fit {' '.join(without_overwrite(arguments))}")


def without_overwrite(arguments: list[str]) -> list[str]:
    """Leave of a `folds` line to replace the folds file must not become that of `fit` to replace a run."""
    kept, value = [], False
    for argument in arguments:
        if not value and argument.split("=")[0] != "--overwrite":
            kept.append(argument)
        value = argument == "--overwrite"
    return kept


# --- truth and predictions -------------------------------------------------------------------------------------------


def out_of_fold(config: OfflineConfig) -> list[Case]:
    """Every validated image of every fold: its prediction by the model that did not see it, and its truth."""
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    images: dict[str, Case] = {}
    runs: dict[str, Path] = {}
    stores: dict[Path, PredictionStore] = {}
    config.data.prepare_data()
    rows = {row.image_id: row for row in rows_of(config.data.table())}
    groups = config.data.groups()
    for run in config.runs:
        store = stores[run.path] = open_store(config.data, run, "val")
        known = run.read_facts().get("folds_hash")
        if known is not None and Path(config.data.folds).is_file() and known != config.data.folds_hash():
            raise SystemExit(
                f"error: {config.data.folds} has changed since {run.path} was trained; put it back; a copy: {run.folds}"
            )
        for image_id in store.ids():
            if image_id in images:
                raise SystemExit(f"error: image {image_id!r} has out-of-fold predictions in two runs, one {run.path}")
            read, truth = partial(read_finite, store, image_id), partial(config.data.truth, rows[image_id])
            images[image_id] = Case(image_id, read, truth, groups.get(image_id))
            runs[image_id] = run.path
    if config.competition.over_all:
        folds = fold_numbers(config, runs)
        changed = changed_outputs(
            config, list(images), lambda name, outputs: stores[runs[name]].read(name, outputs), folds
        )
        images = {
            name: case._replace(prediction=Changed(case.prediction, changed[name])) for name, case in images.items()
        }
    return list(images.values())


def mean_of_folds(stores: list[PredictionStore]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Test predictions averaged over the folds' models, one image at a time."""
    ids = stores[0].ids()
    for store in stores[1:]:
        if store.ids() != ids:
            raise SystemExit(f"error: {store.path} and {stores[0].path} hold other images; run predict again")
    for image_id in ids:
        yield image_id, read_mean(stores, image_id)


def test_predictions(
    config: OfflineConfig, stores: list[PredictionStore]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """`mean_of_folds`, after the steps over all images."""
    changed: dict[str, dict[str, np.ndarray]] = {}
    if config.competition.over_all:

        def read(image_id: str, names: list[str]) -> dict[str, np.ndarray]:
            return read_mean(stores, image_id, names)

        changed = changed_outputs(config, stores[0].ids(), read, {})
    for image_id, mean in mean_of_folds(stores):
        yield image_id, mean | changed.get(image_id, {})


# --- search ----------------------------------------------------------------------------------------------------------


def search_chain(arguments: list[str]) -> None:
    """Tune the post-processing chain on out-of-fold predictions and write `searched.yaml`."""

    def options(parser: Any) -> None:
        parser.add_argument("--sweeps", type=int, default=2, help="Rounds over all parameters.")
        parser.add_argument("--processes", type=int | None, default=None, help="Worker processes; one per CPU.")

    config = read_config("search", arguments, options, searched=False, folds=True)
    images = out_of_fold(config)
    result = search(
        config.competition.postprocess,
        config.competition.metric,
        images,
        sweeps=config.options.sweeps,
        processes=config.options.processes,
    )
    path = write_searched(config.experiment, result, config.origin, config.runs)
    draw_search(result, config.experiment / "search.png")
    print(result.summary())
    print(f"the chain for later verbs: {path}; curves: {config.experiment / 'search.png'}")
    print(f"next:  python cli.py submit {config.experiment}")


# --- score -----------------------------------------------------------------------------------------------------------


def score(arguments: list[str]) -> None:
    """Score out-of-fold predictions, or a submission file against a solution file."""

    def options(parser: Any) -> None:
        parser.add_argument("--submission_file", type=str | None, default=None, help="CSV to score; needs a solution.")
        parser.add_argument("--solution", type=str | None, default=None, help="Truth in the submission's format.")

    if arguments and arguments[0].endswith(".csv"):
        arguments = [*arguments[1:], "--submission_file", arguments[0]]
    config = read_config("score", arguments, options, folds=not any(map(names_file, arguments)))
    metrics = config.competition.metrics()
    if config.options.submission_file:
        what = score_file(config, metrics)
    else:
        what = f"{config.experiment} out of fold"
        for case in out_of_fold(config):
            truth = case.truth()
            prediction = config.competition.process(case.prediction(), truth)
            for metric in metrics.values():
                metric.add(case.image_id, prediction, truth)
    for name, metric in metrics.items():
        low, high = bootstrap_interval(metric)
        label = f"{name} ({type(metric).__name__})" if name == "score" else name
        print(f"{what}: {label} {float(metric.compute()):.4f}  [{low:.4f}, {high:.4f}] over {len(metric.rows)} images")
    if not config.options.submission_file and tuned(config):
        print("too good: the chain of searched.yaml was tuned on these images; `search` prints the cross-fitted score")


def names_file(argument: str) -> bool:
    """Whether an argument of `score` names a submission file, which needs no fold."""
    return argument.split("=")[0] == "--submission_file"


def tuned(config: OfflineConfig) -> bool:
    """Whether `search` has changed the configured chain of the experiment."""
    searched, run = config.experiment / "searched.yaml", config.runs[0].config
    if not searched.is_file():
        return False
    found, configured = (read_yaml(path)["competition"]["postprocess"] for path in (searched, run))
    return found != configured


def score_file(config: OfflineConfig, metrics: dict) -> str:
    """Fill the metrics from a submission and a solution file; returns what was scored."""
    solution = config.options.solution or config.competition.solution
    if solution is None or config.competition.submission is None:
        raise SystemExit("error: scoring a file needs competition.submission and --solution FILE")
    solution = solution if Path(solution).is_file() else str(Path(config.data.root) / solution)
    config.data.prepare_data()
    sizes = config.data.sizes("test")
    file = Path(config.options.submission_file)
    config.competition.submission.keys_of(file)  # what the competition would refuse has no score here either
    predictions = config.competition.submission.read(file, sizes)
    truths = config.competition.submission.read(Path(solution), sizes)
    lacking = [image_id for image_id in truths if image_id not in predictions]
    if lacking:
        raise SystemExit(
            f"error: {file} has no row for {len(lacking)} of {len(truths)} images of {solution}; the first is "
            f"{lacking[0]!r}"
        )
    for image_id, truth in truths.items():
        for metric in metrics.values():
            metric.add(image_id, predictions[image_id], truth)
    return str(file)


# --- submit ----------------------------------------------------------------------------------------------------------


def submit(arguments: list[str]) -> None:
    """Post-process the test predictions (averaged over folds), write the checked submission, send it where asked to."""

    def options(parser: Any) -> None:
        parser.add_argument(
            "--output", type=str | None, default=None, help="Where to write; <experiment>/submission.csv."
        )
        parser.add_argument(
            "--message",
            type=str | None,
            default=None,
            help="Send the checked file to competition.slug with the kaggle client, with this message.",
        )

    config = read_config("submit", arguments, options, folds=True)
    if config.competition.submission is None:
        raise SystemExit("error: the config has no competition.submission; name the format's class there")
    message = config.options.message
    if message is not None and not message.strip():
        raise SystemExit("error: --message is empty; say what the submission is, or leave the flag out to send nothing")
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    config.data.prepare_data()
    stores = [open_store(config.data, run, "test") for run in config.runs]
    if len(stores) > 1 and not config.competition.submission.blended:
        raise SystemExit(
            f"error: {type(config.competition.submission).__name__} takes lists of objects, and those of {len(stores)} "
            f"folds have no mean; submit one fold's folder, or merge boxes first: python cli.py ensemble "
            f"{config.experiment} --boxes '[boxes]' --output runs/merged"
        )
    output = Path(config.options.output or config.experiment / "submission.csv")
    sample = config.data.sample_submission_path()
    rows = ((image_id, config.competition.process(entry)) for image_id, entry in test_predictions(config, stores))
    config.competition.submission.begin(output, config.data.split_table("test"))
    limit = config.competition.file_limit
    config.competition.submission.write(rows, output, sample, config.data.sizes("test"), limit)
    folds_text = f"mean of {len(stores)} folds" if len(stores) > 1 else config.runs[0].path.name
    print(f"{output}: {len(stores[0].ids())} images, {folds_text}, {output.stat().st_size / 1e6:.1f} MB")
    checked = f"checked against {sample}" if sample is not None else "not checked: data.sample_submission is not set"
    print(f"{checked}; sha256 {file_hash(output)}")
    if message is not None:
        print(send(output, config.competition.slug, message))
