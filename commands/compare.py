"""The verb `compare`: configs, scores, training time and differences per fold and image of several experiments."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.command_line.command_line import CommandLine
from commands.command_line.parser import parse_options
from evaluation.interval import paired_interval
from experiments.differences import MISSING, differences, short
from experiments.fold_stores import Missing
from experiments.summaries import Summary, summarise
from experiments.tables import as_text
from files.writing import write_csv

COLUMNS = ("experiment", "score", "spread", "folds", "best_epochs", "time", "parameters", "from")


TAKES = "RUN RUN … [--key value …]"
DESCRIPTION = """Compare experiment or run folders with the first one: config differences, mean score over
folds with standard deviation (from crossval if it was run, else from fit's best validation),
training time, network size, score differences per fold and per image."""


@dataclass
class Options:
    """Options of `compare`.

    Args:
        output: Output CSV, with one row per experiment and the config differences; by default, not written.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    output: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Print the comparison."""
    line = CommandLine.read(arguments)
    options = parse_options("compare", line.settings.arguments(), Options, TAKES, DESCRIPTION)
    if not line.paths:
        raise SystemExit(f"error: no experiment to compare: python cli.py compare {TAKES}")
    try:
        summaries = [summarise(path, options.missing) for path in line.paths]
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    different = differences([summary.config for summary in summaries])
    print(as_text(COLUMNS, [row(summary) for summary in summaries]))
    print_notes(summaries)
    if len(summaries) > 1:
        print_differences(summaries, different)
        for other in summaries[1:]:
            print("\n".join(["", *pair(summaries[0], other)]))
    if options.output:
        header = (*COLUMNS, *different, "notes")
        rows = [
            (*row(summary), *(short(values[number], 10**6) for values in different.values()), "; ".join(summary.notes))
            for number, summary in enumerate(summaries)
        ]
        write_csv(Path(options.output), header, rows)
        print(f"\ntable: {options.output}")


def row(summary: Summary) -> tuple[str, ...]:
    """Row of the first table, with `COLUMNS`."""
    seconds = round(summary.seconds)
    time = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds else ""
    size = "" if summary.parameters is None else f"{summary.parameters:,}"
    epochs = " ".join(map(str, summary.epochs))
    mean, spread = _number(summary.mean()), _number(summary.spread())
    return (str(summary.path), mean, spread, str(len(summary.scores)), epochs, time, size, summary.source)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def print_notes(summaries: list[Summary]) -> None:
    """Print what is missing and what prevents a comparison."""
    for summary in summaries:
        for note in summary.notes:
            print(f"note: {summary.path}: {note}")
    first = summaries[0]
    for other in summaries[1:]:
        if other.metric != first.metric:
            print(f"note: {other.path} and {first.path} have different metrics; their scores cannot be compared")
        elif other.source != first.source:
            print(
                f"note: scores of {first.path} are from {first.source}, those of {other.path} from {other.source}: "
                "crossval predicts as for a submission, fit reports the best validation during training"
            )
        if None not in (first.folds_hash, other.folds_hash) and first.folds_hash != other.folds_hash:
            print(f"note: {other.path} was trained on different folds than {first.path}")


def print_differences(summaries: list[Summary], different: dict[str, list[Any]]) -> None:
    """Print the config keys that differ."""
    if not different:
        print("\nthe configs are the same except for fold, seed and folders")
        return
    names = [str(summary.path) for summary in summaries]
    rows = [[key, *(short(value) for value in values)] for key, values in different.items()]
    print("\n" + as_text(["differs", *names], rows))
    if any(value == MISSING for values in different.values() for value in values):
        print(f"{MISSING}: key not in the config")


def pair(first: Summary, other: Summary) -> list[str]:
    """Score difference of another experiment to the first one, over common folds and common images."""
    lines = [f"{other.path} against {first.path} ({'higher' if first.higher_is_better else 'lower'} is better):"]
    if other.metric != first.metric:
        return [*lines, "  different metrics: not compared"]
    same_folds = None in (first.folds_hash, other.folds_hash) or first.folds_hash == other.folds_hash
    common = [fold for fold in first.scores if fold in other.scores]
    if common and same_folds:
        by_fold = np.array([other.scores[fold] - first.scores[fold] for fold in common])
        wins = int((by_fold > 0).sum() if first.higher_is_better else (by_fold < 0).sum())
        spread = f" ± {by_fold.std(ddof=1):.4f}" if len(common) > 1 else ""
        folds = ", ".join(name if not repeat else f"repeat{repeat}/{name}" for repeat, name in common)
        lines.append(f"  folds in common ({folds}): {by_fold.mean():+.4f}{spread}, better in {wins} of {len(common)}")
    else:
        lines.append("  no folds in common" if same_folds else "  different folds: not compared fold by fold")
    shared = sorted(
        name for name in first.images.keys() & other.images.keys()
        if math.isfinite(first.images[name]) and math.isfinite(other.images[name])
    )  # fmt: skip
    if len(shared) < 2:
        return [*lines, "  no images in common with known scores"]
    by_image = np.array([other.images[name] - first.images[name] for name in shared])
    low, high = paired_interval(by_image)
    left = len(first.images.keys() | other.images.keys()) - len(shared)
    alone = f"; {left} images are scored by only one of them" if left else ""
    text = f"{by_image.mean():+.4f} [{low:+.4f}, {high:+.4f}] mean difference of image scores"
    return [*lines, f"  {len(shared)} images in common: {text}{alone}"]
