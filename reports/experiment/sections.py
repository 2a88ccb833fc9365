"""The sections of the page of an experiment."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from evaluation.colours import name_of
from evaluation.metrics.base import CompetitionMetric
from evaluation.panels import (
    class_legend,
    columns_of,
    confusion_of,
    draw_panel,
    error_legend,
    panel_cells,
    row_of,
)
from predictions.quantiser import LEVELS
from reports.charts import chart, histogram
from reports.experiment.lines import lines
from reports.experiment.reliability import ProbabilityHistogram
from reports.page import Finding, Report
from reports.pictures import cell, png

PANEL_WIDTH = 930  # pixels of the page, so that texts in the images keep their size


class Entry(NamedTuple):
    """An image of the report with its target and prediction; see `evaluation.panels.row_of`."""

    caption: str
    image: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    valid: np.ndarray | None = None
    probability: np.ndarray | None = None


def bins_for(count: int) -> int:
    """Bins of a histogram of so many values."""
    return int(np.clip(2 * np.sqrt(count), 8, 60))


def add_folds(report: Report, scores: pd.DataFrame, metric: CompetitionMetric) -> None:
    """Score of every fold with its spread.

    Args:
        report: the page.
        scores: columns `run`, `images`, `score`.
        metric: of the competition.
    """
    report.section("Folds")
    report.table(scores)
    if len(scores) < 2:
        report.text("Only one fold: the spread between folds is unknown. `crossval` trains the others.", True)
        return
    values = scores["score"].to_numpy()
    spread = float(values.std(ddof=1))
    report.text(f"Mean of the folds {values.mean():.4f}, standard deviation {spread:.4f}.")
    if len(values) > 2:
        worst = int(values.argmin() if metric.higher_is_better else values.argmax())
        others = np.delete(values, worst)
        if abs(values[worst] - others.mean()) > 4 * max(float(others.std(ddof=1)), 1e-4):
            name = str(scores["run"].iloc[worst])
            report.findings.append(
                Finding(
                    "look", f"{name} scores {values[worst]:.4f}, far from the other folds: look at its curves.", "Folds"
                )
            )


def add_curves(report: Report, series: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]) -> None:
    """Losses and scores of each run over its steps: title -> run -> steps and values."""
    report.section("Training")
    report.charts(
        [
            (f"curve {title}", chart(lines(runs, "optimizer step")), f"{title} of each run")
            for title, runs in series.items()
            if runs
        ]
    )
    if not any(series.values()):
        report.text("No run has a `metrics.csv`: the models were trained elsewhere, or blended.", True)


def add_scores(report: Report, metric: CompetitionMetric) -> None:
    """Scores of the images."""
    report.section("Scores")
    values = np.array(list(metric.scores().values()))
    values = values[np.isfinite(values)]
    if not len(values):
        report.text("This metric has no score per image.", True)
        return
    report.charts(
        [
            (
                "image scores",
                chart(histogram({"train": values}, type(metric).__name__, bins_for(len(values)), bounds=(0, 1))),
                f"score of each of {len(values)} images",
            )
        ]
    )
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    report.text(f"A tenth of the images scores below {low:.3f}, half below {middle:.3f}, nine tenths below {high:.3f}.")


def add_probabilities(
    report: Report, reliabilities: dict[str, ProbabilityHistogram], names: Sequence[str] = ()
) -> None:
    """Thresholds, calibration and a table of every class; `names` are those of the classes."""
    report.section("Probabilities")
    if not reliabilities:
        report.text("No output has a target of the same name to compare with.", True)
        return
    report.text(
        "Before any post-processing, over all pixels (or images) together. Dice by threshold shows where to look for a "
        "threshold and how much it matters; the best one here is optimistic for other images; `search` "
        "finds it cross-fitted."
    )
    charts, rows = [], []
    for name, reliability in reliabilities.items():
        channels = range(len(reliability.counts))
        several = len(channels) > 1
        labels = [name_of(channel, names) if several and names else f"{name}[{channel}]" for channel in channels]
        labels = labels if several else [name]
        dice, auc, error, share = (
            reliability.dice(), reliability.auc(), reliability.calibration_error(), reliability.prevalence(),
        )  # fmt: skip
        mean, positive, _ = reliability.calibration()
        shown = list(zip(channels, labels, strict=True))[:8]
        charts += [
            (
                f"threshold {name}",
                chart(lines({label: (LEVELS, dice[channel]) for channel, label in shown}, "threshold")),
                f"{name}: Dice of the pooled pixels by threshold",
            ),
            (
                f"calibration {name}",
                chart(lines({label: (mean[c], positive[c]) for c, label in shown}, "mean probability", diagonal=True)),
                f"{name}: share of positives by predicted probability; calibrated ones are on the dotted line",
            ),
        ]
        for channel, label in zip(channels, labels, strict=True):
            best = int(np.nanargmax(dice[channel])) if np.isfinite(dice[channel]).any() else 0
            rows.append(
                {
                    "class": label,
                    "share positive": share[channel],
                    "Dice at 0.5": dice[channel, 128],
                    "best Dice": dice[channel, best],
                    "threshold": float(LEVELS[best]),
                    "ROC AUC": auc[channel],
                    "calibration error": error[channel],
                }
            )
            if worse_than_chance(reliability.counts[channel], auc[channel]):
                text = (
                    f"ROC AUC of `{label}` is {auc[channel]:.3f}, below 0.5: positives have lower probabilities than "
                    "negatives. Check the order of the classes and the targets."
                )
                report.findings.append(Finding("problem", text, "Probabilities"))
            if error[channel] > 0.1:
                report.findings.append(
                    Finding(
                        "look",
                        f"probabilities of `{label}` are off by {error[channel]:.2f} on average; "
                        "thresholds from other models will not fit.",
                        "Probabilities",
                    )
                )
    report.charts(charts)
    report.table(pd.DataFrame(rows), marked=[row["ROC AUC"] < 0.5 for row in rows], most=60)


def worse_than_chance(counts: np.ndarray, auc: float) -> bool:
    """Whether an AUC is below 0.5 by more than two standard errors of chance; `counts` as in `ProbabilityHistogram`."""
    negative, positive = counts.sum(axis=-1).astype(np.float64)
    if not negative or not positive:
        return False
    error = np.sqrt((negative + positive + 1) / (12 * negative * positive))  # of Mann and Whitney's U
    return bool(auc < 0.5 - 2 * error)


def add_steps(
    report: Report,
    names: list[str],
    whole: float,
    without: list[float],
    higher_is_better: bool,
    searched: bytes | None = None,
) -> None:
    """The effect of each post-processing step.

    Args:
        report: the page.
        names: of the steps, in order.
        whole: score of the whole chain.
        without: score without each step; NaN where the rest needs it.
        higher_is_better: as in the metric.
        searched: PNG file drawn by `search`.
    """
    report.section("Post-processing")
    if not names:
        report.text("There is no post-processing.", True)
        return
    gains = [np.nan if np.isnan(score) else (whole - score) * (1 if higher_is_better else -1) for score in without]
    report.text("The score without each post-processing step; – where the other steps need it.")
    report.table(pd.DataFrame({"step": names, "score without it": np.round(without, 4), "gain": np.round(gains, 4)}))
    if searched is not None:
        report.heading("Curves of search")
        report.picture(searched, "score by the values of each parameter")
    for name, gain in zip(names, gains, strict=True):
        if gain < -0.0005:
            report.findings.append(
                Finding(
                    "look",
                    f"without `{name}` the score is better by {-gain:.4f}: tune it with `search`, or remove it.",
                    "Post-processing",
                )
            )


def add_images(report: Report, groups: dict[str, list[Entry]], names: Sequence[str] = ()) -> None:
    """Images with target, prediction and errors, in groups; `names` are those of the classes."""
    report.section("Images")
    for name, entries in groups.items():
        if not entries:
            continue
        if all(entry.target.ndim >= 2 for entry in entries):
            add_panel(report, name, entries, names)
            continue
        report.heading(name)
        cells = []
        for entry in entries:
            image, _ = cell(np.moveaxis(entry.image, 0, -1), {})
            target, prediction = (_short(values, names) for values in (entry.target, entry.prediction))
            cells.append((png(image), f"{entry.caption}\ntarget {target}\nprediction {prediction}"))
        report.cells(cells)


def add_panel(report: Report, name: str, entries: list[Entry], names: Sequence[str] = ()) -> None:
    """Images with target, prediction and errors, a row each; written as one PNG file beside the page as well."""
    report.heading(name)
    side = PANEL_WIDTH // (4 if all(entry.probability is None for entry in entries) else 5)
    rows = [row_of(*entry, side=side) for entry in entries]
    report.write(f"{name.split()[0].lower()}.png", png(draw_panel(rows, name, names)))
    columns = columns_of(rows)
    report.legend("Classes", class_legend(rows, names))
    report.legend("Errors", error_legend(rows))
    shown = []
    for row in rows:
        drawn = panel_cells(row, columns, names)
        about = " · ".join(filter(None, (row.caption, confusion_of(row, names))))
        shown.append((about, [None if one is None else png(one) for one in drawn]))
    report.panel(columns, shown)


def _short(values: np.ndarray, names: Sequence[str] = ()) -> str:
    """Classes of an image-level array in a few characters."""
    if values.dtype == bool or (values.ndim and len(values) > 1 and values.dtype.kind in "iu"):
        return ", ".join(_name(int(number), names) for number in np.flatnonzero(values)) or "none"
    if values.dtype.kind in "iu":
        return ", ".join(_name(int(number), names) for number in np.atleast_1d(values)[:6])
    return " ".join(f"{value:.3g}" for value in np.atleast_1d(values)[:6])


def _name(number: int, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else str(number)
