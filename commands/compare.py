"""`compare`: experiments side by side: configs, scores with their spread, time, differences by fold and by image."""

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
DESCRIPTION = """Experiment or run folders; the first is what others are compared with: what differs in their configs,
the mean score of their folds with its standard deviation (of crossval where it was run, else of fit's
best validation), time, size; differences fold by fold and image by image."""


@dataclass
class Options:
    """Options of `compare`.

    Args:
        output: CSV to write, with a row per experiment and all that differs; null writes none.
        missing: Whether to refuse or to skip folds of the folds file without a run.
    """

    output: str | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Print the comparison; `arguments` is what follows the verb."""
    line = CommandLine.read(arguments)
    options = parse_options("compare", line.flags(), Options, TAKES, DESCRIPTION)
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
        print(f"\nthe table: {options.output}")


def row(summary: Summary) -> tuple[str, ...]:
    """A row of the first table, as in `COLUMNS`."""
    seconds = round(summary.seconds)
    time = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds else ""
    size = "" if summary.parameters is None else f"{summary.parameters:,}"
    epochs = " ".join(map(str, summary.epochs))
    mean, spread = _number(summary.mean()), _number(summary.spread())
    return (str(summary.path), mean, spread, str(len(summary.scores)), epochs, time, size, summary.source)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def print_notes(summaries: list[Summary]) -> None:
    """What is missing, and what forbids to compare."""
    for summary in summaries:
        for note in summary.notes:
            print(f"note: {summary.path}: {note}")
    first = summaries[0]
    for other in summaries[1:]:
        if other.metric != first.metric:
            print(f"note: {other.path} and {first.path} have other metrics; their scores cannot be compared")
        elif other.source != first.source:
            print(
                f"note: scores of {first.path} are from {first.source}, those of {other.path} from {other.source}: "
                "crossval predicts as a submission does, fit validates while it trains and takes the best epoch"
            )
        if None not in (first.folds_hash, other.folds_hash) and first.folds_hash != other.folds_hash:
            print(f"note: {other.path} was trained on other folds than {first.path}")


def print_differences(summaries: list[Summary], different: dict[str, list[Any]]) -> None:
    """The keys in which the configs differ."""
    if not different:
        print("\nthe configs are the same but for fold, seed and folders")
        return
    names = [str(summary.path) for summary in summaries]
    rows = [[key, *(short(value) for value in values)] for key, values in different.items()]
    print("\n" + as_text(["differs", *names], rows))
    if any(value == MISSING for values in different.values() for value in values):
        print(f"{MISSING}: the config does not have the key")


def pair(first: Summary, other: Summary) -> list[str]:
    """How far another experiment is from the first one, over the folds and over the images that both have."""
    lines = [f"{other.path} against {first.path} ({'higher' if first.higher_is_better else 'lower'} is better):"]
    if other.metric != first.metric:
        return [*lines, "  other metrics: not compared"]
    same_folds = None in (first.folds_hash, other.folds_hash) or first.folds_hash == other.folds_hash
    common = [fold for fold in first.scores if fold in other.scores]
    if common and same_folds:
        by_fold = np.array([other.scores[fold] - first.scores[fold] for fold in common])
        wins = int((by_fold > 0).sum() if first.higher_is_better else (by_fold < 0).sum())
        spread = f" ± {by_fold.std(ddof=1):.4f}" if len(common) > 1 else ""
        folds = ", ".join(name if not repeat else f"repeat{repeat}/{name}" for repeat, name in common)
        lines.append(f"  folds in common ({folds}): {by_fold.mean():+.4f}{spread}, better in {wins} of {len(common)}")
    else:
        lines.append("  no folds in common" if same_folds else "  other folds: not compared fold by fold")
    shared = sorted(
        name for name in first.images.keys() & other.images.keys()
        if math.isfinite(first.images[name]) and math.isfinite(other.images[name])
    )  # fmt: skip
    if len(shared) < 2:
        return [*lines, "  no images in common whose scores are known"]
    by_image = np.array([other.images[name] - first.images[name] for name in shared])
    low, high = paired_interval(by_image)
    left = len(first.images.keys() | other.images.keys()) - len(shared)
    alone = f"; {left} images are known to one of them alone" if left else ""
    text = f"{by_image.mean():+.4f} [{low:+.4f}, {high:+.4f}] in the mean score of an image"
    return [*lines, f"  {len(shared)} images in common: {text}{alone}"]
