"""Plots of the curves of a run and of a search as PNG files."""

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from files.atomic import atomic_path
from postprocessing.search import SearchResult

Series = dict[str, list[tuple[int, float]]]

LEGEND = {"fontsize": 8, "framealpha": 0.85, "edgecolor": "none"}  # readable on top of lines


def read_metrics(path: Path | str) -> Series:
    """Metrics logged by `fit`: name -> (step, value). Of a step logged twice (resumed run), the last value is kept."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            if row["stage"] == "fit":
                found[row["name"]][int(row["step"])] = float(row["value"])
    return {name: sorted(values.items()) for name, values in found.items()}


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean, with shorter windows at the ends."""
    weights = np.ones(window)
    return np.convolve(values, weights, "same") / np.convolve(np.ones(len(values)), weights, "same")


def draw_curves(metrics: Path, output: Path) -> None:
    """Plot the loss and its terms, scores and learning rate over optimizer steps.

    Args:
        metrics: `metrics.csv` of a run.
        output: output PNG file.
    """
    series = read_metrics(metrics)
    groups = {
        "loss": [name for name in series if name.endswith("/loss")],
        "parts of the loss": [name for name in series if name.startswith("train/") and name != "train/loss"],
        "score": [n for n in series if n.startswith("val/") and n != "val/loss" and "_class" not in n],
        "learning rate": [n for n in series if re.fullmatch(r"lr-\w+(/pg1)?", n)],
    }
    groups = {title: names for title, names in groups.items() if names}
    figure, axes = _grid(max(1, len(groups)))
    for axis, (title, names) in zip(axes, groups.items(), strict=False):
        for name in names:
            steps, values = (np.array(column) for column in zip(*series[name], strict=True))
            dense = name.startswith("train/") and len(values) > 20
            label = name.removesuffix("/pg1")  # usually the rate of all parameter groups
            line = axis.plot(
                steps, smoothed(values, max(3, len(values) // 30)) if dense else values, lw=1.6, label=label,
                marker=None if dense or name.startswith("lr-") else "o", ms=3.5,
            )  # fmt: skip
            if dense and title == "loss":
                axis.plot(steps, values, lw=0.5, alpha=0.3, color=line[0].get_color())
            if title == "score":
                axis.annotate(f"{values[-1]:.3f}", (steps[-1], values[-1]), xytext=(4, 0), textcoords="offset points")
        axis.set_title(title, loc="left")
        axis.set_xlabel("optimizer step")
        axis.legend(**LEGEND)
    _save(figure, output)


def draw_search(result: SearchResult, output: Path) -> bool:
    """Plot the score over the values of each parameter, with the others as found; marks configured and found values.

    A parameter that does not change the score is left out. Without any other nothing is drawn, and a plot of an earlier
    search is removed.

    Args:
        result: result of `search`.
        output: output PNG file.

    Returns:
        Whether there is a plot.
    """
    curves = {label: points for label, points in result.curves.items() if len({score for _, score in points}) > 1}
    if not curves:
        output.unlink(missing_ok=True)
        return False
    figure, axes = _grid(len(curves))
    for axis, (label, points) in zip(axes, curves.items(), strict=True):
        values, scores = [value for value, _ in points], [score for _, score in points]
        configured, found, *halves = result.values[label]
        places = values if all(isinstance(value, int | float) for value in values) else range(len(values))
        where = dict(zip(map(str, values), places, strict=True))
        axis.plot(places, scores, marker="o", ms=3.5, lw=1.6)
        axis.axvline(where[str(configured)], color="0.6", ls=":", label=f"configured {configured}")
        axis.axvline(where[str(found)], color="C1", label=f"found {found}; halves {halves[0]}, {halves[1]}")
        if places is not values:
            axis.set_xticks(list(places), [str(value) for value in values])
        axis.set_title(label, loc="left")
        axis.set_ylabel("score")
        axis.legend(**LEGEND)
    figure.suptitle(
        f"before {result.before:.4f}, cross-fitted {result.cross_fitted:.4f}, in-sample {result.in_sample:.4f}",
        fontsize=10,
    )
    _save(figure, output)
    return True


def _grid(count: int) -> tuple[Any, list]:
    # Imported on demand: only two verbs plot.
    from matplotlib.figure import Figure

    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.5 * columns, 3.2 * rows), dpi=110, layout="constrained")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def _save(figure: Any, output: Path) -> None:
    with atomic_path(output) as temporary:
        figure.savefig(temporary, format="png")
