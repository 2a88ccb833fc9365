"""The verb `report`: an HTML report on a trained experiment."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from commands.command_line.config import read_config
from commands.command_line.findings import print_findings
from datamodules.table import rows_of
from evaluation.gallery import worst_median_best
from evaluation.interval import bootstrap_interval
from evaluation.metrics.base import CompetitionMetric
from evaluation.panels import drawable, probability_map
from evaluation.void import nothing_counts
from experiments.configuration import OfflineConfig
from experiments.curves import read_metrics, smoothed
from experiments.fold_stores import Missing, open_store
from experiments.run_folder import RunFolder
from experiments.searched import is_tuned
from experiments.stored_predictions import out_of_fold, test_predictions
from files.progress import progress
from files.writing import write_frame
from postprocessing.ablation import StepAblation
from predictions.store import PredictionStore, read_mean
from reports.experiment.boxes import BoxRanking, add_boxes
from reports.experiment.classes import ConfusionMatrix, add_classes
from reports.experiment.quantities import NAMES, quantities
from reports.experiment.reliability import ProbabilityHistogram, channels_of
from reports.experiment.sanity import add_sanity
from reports.experiment.sections import (
    Entry,
    add_curves,
    add_folds,
    add_images,
    add_panel,
    add_probabilities,
    add_scores,
    add_steps,
)
from reports.page import Report
from reports.pictures import cell, png

MOST = 12  # maximum number of outliers drawn per set


@dataclass
class Options:
    """Options of `report`.

    Args:
        output: Output folder; by default, <runs>/<experiment>/report.
        images: Number of best, median and worst images to show, each.
        limit: Maximum number of images per set; by default, all.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    output: str | None = None
    images: int = 4
    limit: int | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Write `report.html` on the out-of-fold and test predictions of an experiment."""
    config = read_config("report", arguments, Options, folds=True)
    if not config.runs:
        raise SystemExit(f"error: {config.experiment} has no trained run; fit and predict first")
    output = Path(config.options.output or config.experiment / "report")
    output.mkdir(parents=True, exist_ok=True)
    page = write(config, output)
    print_findings(page)
    print(f"report: {output / 'report.html'}")


@dataclass
class OutOfFoldPass:
    """Statistics of one pass over the out-of-fold predictions; no maps are kept."""

    run_of: dict[str, str] = field(default_factory=dict)
    reliabilities: dict[str, ProbabilityHistogram] = field(default_factory=dict)
    confusions: dict[str, ConfusionMatrix] = field(default_factory=dict)
    boxes: BoxRanking | None = None
    target: dict[str, np.ndarray] = field(default_factory=dict)
    predicted: dict[str, np.ndarray] = field(default_factory=dict)


def write(config: OfflineConfig, output: Path) -> Report:
    """Read all predictions once, and write the report."""
    metric, steps = config.competition.metric, config.competition.postprocess
    gains, seen = StepAblation(steps, metric), OutOfFoldPass()
    cases = {case.image_id: case for case in out_of_fold(config)} if any(map(holds_out, config.runs)) else {}
    for run in config.runs if cases else ():
        seen.run_of |= dict.fromkeys(PredictionStore(run.predictions / "val").ids(), run.path.name)
    for case in progress(list(cases.values())[: config.options.limit], "out of fold", unit=" images"):
        prediction, targets = case.prediction(), case.targets()
        compare(seen, prediction, targets)
        processed = config.competition.process(prediction, targets)
        rank_boxes(seen, metric, processed, targets)
        metric.add(case.image_id, processed, targets)
        gains.add(case.image_id, prediction, targets)
        shown, true, valid = processed.get(metric.output), targets.get(metric.target), targets.get("valid")
        if is_map(shown) and is_map(true) and not nothing_counts(targets):
            seen.predicted[case.image_id] = held(config, shown, valid)
            seen.target[case.image_id] = held(config, true, valid)
    if cases:
        report = Report(config.experiment.name, lead_of(config), output)
        add_folds(report, fold_scores(seen, config), metric)
    else:
        report = Report(config.experiment.name, "Trained on all images: no out-of-fold predictions.", output)
        seen.target = training_targets(config)
    add_curves(report, curves_of(config))
    if cases:
        add_scores(report, metric)
        if seen.boxes is not None:
            add_boxes(report, seen.boxes, class_names(config))
        else:
            add_probabilities(report, seen.reliabilities, class_names(config))
        add_classes(report, seen.confusions, class_names(config))
        drawn = config.experiment / "search.png"
        searched = drawn.read_bytes() if drawn.is_file() else None
        names = [type(step).__name__ for step in steps]
        add_steps(report, names, float(metric.compute()), gains.scores(), metric.higher_is_better, searched)
    tested, draw = look_at_test(config)
    sets = {"target": seen.target, "out of fold": seen.predicted, "test": tested}
    outliers = add_sanity(report, sets)
    write_frame(output / "outliers.csv", outliers)
    show_outliers(report, outliers, config, cases, draw)
    if cases:
        add_images(report, chosen_images(config, cases), class_names(config))
    report.save(output / "report.html")
    return report


def holds_out(run: RunFolder) -> bool:
    """Whether a run has a validation fold; runs on all images wrote an empty out-of-fold store."""
    store = PredictionStore(run.predictions / "val")
    return not store.manifest_path.is_file() or bool(store.manifest()["ids"])


def lead_of(config: OfflineConfig) -> str:
    """The score as a sentence."""
    metric, runs = config.competition.metric, len(config.runs)
    low, high = bootstrap_interval(metric)
    return (
        f"{type(metric).__name__} **{float(metric.compute()):.4f}** [{low:.4f}, {high:.4f}] out of fold, "
        f"over {len(metric.rows)} images of {runs} {'run' if runs == 1 else 'runs'}."
        + (
            " Optimistic: post-processing was tuned on these images (searched.yaml)."
            if is_tuned(config.experiment, config.runs[0])
            else ""
        )
    )


def training_targets(config: OfflineConfig) -> dict[str, np.ndarray]:
    """Quantities of the targets of all training images."""
    config.data.prepare_data()
    found = {}
    for row in progress(rows_of(config.data.table())[: config.options.limit], "targets", unit=" images"):
        targets = config.data.target_arrays(row)
        true = targets.get(config.competition.metric.target)
        if is_map(true) and not nothing_counts(targets):
            found[row.image_id] = held(config, true, targets.get("valid"))
    return found


def compare(seen: OutOfFoldPass, prediction: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> None:
    """Add the probabilities of each output and the target of the same name to histograms and confusion matrices."""
    for name, probabilities in prediction.items():
        true = targets.get(name)
        if true is None or probabilities.dtype.kind != "f":
            continue
        pair = channels_of(probabilities, true)
        if pair is None:
            continue
        target, counted = pair
        valid = targets.get("valid")
        if valid is not None and valid.shape == probabilities.shape[1:]:
            counted = valid if counted is None else counted & valid
        count = len(probabilities)
        seen.reliabilities.setdefault(name, ProbabilityHistogram(count)).add(probabilities, target, counted)
        if true.shape != probabilities.shape and count > 1:
            numbers = true.reshape(probabilities.shape[1:])
            seen.confusions.setdefault(name, ConfusionMatrix(count)).add(probabilities, numbers, counted)


def rank_boxes(
    seen: OutOfFoldPass, metric: CompetitionMetric, processed: dict[str, np.ndarray], targets: dict[str, np.ndarray]
) -> None:
    """Match predicted boxes to target boxes, if the metric is one of boxes."""
    boxes, true = processed.get(metric.output), targets.get(metric.target)
    if boxes is None or true is None or boxes.ndim != 2 or boxes.shape[1] != 6 or true.ndim != 2:
        return
    if seen.boxes is None:
        threshold = getattr(metric, "threshold", 0.5)
        seen.boxes = BoxRanking(metric.output, metric.target, threshold if isinstance(threshold, float) else 0.5)
    seen.boxes.add(processed, targets)


def curves_of(config: OfflineConfig) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Metrics logged by `fit`: title -> run -> steps and values."""
    titles = {"train/loss": "training loss", "val/loss": "validation loss", "val/score": "score"}
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {title: {} for title in titles.values()}
    for run in config.runs:
        metrics = read_metrics(run.path / "metrics.csv") if (run.path / "metrics.csv").is_file() else {}
        for name, title in titles.items():
            if name in metrics:
                steps, values = (np.array(column) for column in zip(*metrics[name], strict=True))
                dense = name == "train/loss" and len(values) > 20
                values = smoothed(values, max(3, len(values) // 30)) if dense else values
                found[title][run.path.name] = steps, values
    return found


def fold_scores(seen: OutOfFoldPass, config: OfflineConfig) -> pd.DataFrame:
    """Score of the images of each run."""
    metric, rows = config.competition.metric, []
    for run in config.runs:
        ids = [image_id for image_id in metric.rows if seen.run_of[image_id] == run.path.name]
        if ids:
            own = copy.deepcopy(metric)
            own.rows = {image_id: metric.rows[image_id] for image_id in ids}
            low, high = bootstrap_interval(own)
            score = float(metric.reduce(np.stack([metric.rows[image_id] for image_id in sorted(ids)])))
            rows.append({"run": run.path.name, "images": len(ids), "score": score, "from": low, "to": high})
    return pd.DataFrame(rows)


def is_map(array: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether an array contains masks, instance ids or class numbers of pixels rather than boxes."""
    return array is not None and (array.ndim > 2 or (array.ndim == 2 and array.dtype.kind in "biu"))


def held(config: OfflineConfig, array: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Quantities of a prediction or a target, as the metric interprets it, over valid pixels."""
    return quantities(array, getattr(config.competition.metric, "classes", None), valid)


def show_outliers(
    report: Report, outliers: pd.DataFrame, config: OfflineConfig, cases: dict[str, Any], draw: Any
) -> None:
    """Show predictions with far more or fewer pixels or objects than the targets; out of fold, beside their target."""
    for name, found in outliers.groupby("set", sort=False):
        numbers = zip(found["image_id"], *(found[quantity] for quantity in NAMES), strict=True)
        captions = {one: f"{100 * share:.2f} %, {objects:.0f} objects" for one, share, objects in numbers}
        captions = dict(list(captions.items())[:MOST])
        if name == "out of fold":
            entries = entries_of(config, cases, captions)
            if entries:
                add_panel(report, "Unusual out-of-fold predictions", entries, class_names(config))
                report.text("All of them are in `outliers.csv`.", quiet=True)
        elif draw is not None:
            report.heading("Test images with far more or fewer pixels or objects than the targets")
            pictures = [(draw(one), f"{one[:24]}\n{caption}") for one, caption in captions.items()]
            report.cells([(picture, caption) for picture, caption in pictures if picture is not None])


def look_at_test(config: OfflineConfig) -> tuple[dict[str, np.ndarray], Any]:
    """Quantities of every test prediction, and a function that draws one; empty without test predictions."""
    output = config.competition.metric.output
    stores = [run.predictions / "test" for run in config.runs]
    if config.data.test_images is None or not all((path / "manifest.json").is_file() for path in stores):
        return {}, None
    submission = config.competition.submission
    if len(stores) > 1 and submission is not None and not submission.blended:
        return {}, None  # lists of objects cannot be averaged over folds
    opened, found = [open_store(config.data, run, "test") for run in config.runs], {}
    bar = progress(test_predictions(config, opened), "test", len(opened[0]), " images")
    for number, (image_id, mean) in enumerate(bar):
        if config.options.limit is not None and number >= config.options.limit:
            break
        shown = config.competition.process(mean).get(output)
        if not is_map(shown):
            return {}, None
        found[image_id] = held(config, shown)
    rows = {row.image_id: row for row in rows_of(config.data.split_table("test"))}

    def draw(image_id: str) -> bytes | None:
        shown = config.competition.process(read_mean(opened, image_id))[output]
        image = config.data.reader.read(rows[image_id])
        if image.ndim != 3:
            return None
        if shown.dtype.kind == "f":  # exclusive classes, or a map without a threshold
            shown = shown.argmax(0) if len(shown) > 1 else shown > 0.5
        ids = shown.astype(np.int32) if shown.ndim == 2 else shown
        return png(cell(image, {"prediction": ids})[0])

    return found, draw


def chosen_images(config: OfflineConfig, cases: dict[str, Any]) -> dict[str, list[Entry]]:
    """The worst, median and best images, with target and prediction as scored by the metric; no image twice."""
    metric = config.competition.metric
    scores = {image_id: score for image_id, score in metric.scores().items() if np.isfinite(score)}
    order = sorted(scores, key=lambda image_id: scores[image_id], reverse=not metric.higher_is_better)
    return {
        f"{kind.capitalize()} images": entries_of(config, cases, {one: f"{scores[one]:.3f}" for one in ids})
        for kind, ids in worst_median_best(order, config.options.images).items()
    }


def entries_of(config: OfflineConfig, cases: dict[str, Any], captions: dict[str, str]) -> list[Entry]:
    """Images of the ids in `captions`, with target and prediction as scored by the metric."""
    metric, rows, result = config.competition.metric, {}, []
    if captions:
        rows = {row.image_id: row for row in rows_of(config.data.table())}
    for image_id, caption in captions.items():
        targets, raw = cases[image_id].targets(), cases[image_id].prediction()
        prediction = config.competition.process(raw, targets)
        shown, true = prediction.get(metric.output), targets.get(metric.target)
        if shown is None or true is None:
            continue
        image = np.moveaxis(config.data.reader.read(rows[image_id]), -1, 0)
        size = image.shape[1:]
        one, other = drawable(targets, metric.target, size), drawable(prediction, metric.output, size)
        if one is None or other is None:
            one, other = true, shown
        likely = probability_map(raw, metric.output, size)
        result.append(Entry(f"{image_id[:40]}   {caption}", image, one, other, targets.get("valid"), likely))
    return result


def class_names(config: OfflineConfig) -> list[str]:
    """Class names of the data; empty if unknown."""
    return getattr(config.data, "class_names", None) or []
