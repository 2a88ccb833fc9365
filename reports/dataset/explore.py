"""The report of a dataset: what to know before the first training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.plain import BaseData
from exploration.duplicates import Duplicates, duplicates_table, find_duplicates
from exploration.facts import Examiner, ImageFacts, class_names, gather, prepare_targets, rows_with_split
from exploration.statistics import images_table
from files.writing import write_frame
from reports.dataset.comparisons import add_duplicates, add_folds, add_shifts
from reports.dataset.images import Viewer, add_broken, add_intensities, add_samples, add_sizes
from reports.dataset.targets import add_target
from reports.page import Finding, Report
from reports.pictures import channel_names

DRAWN_PIXELS = 2_000_000  # of all images together, for the histograms


@dataclass
class Exploration:
    """Result of `explore`.

    Args:
        facts: of every image.
        duplicates: groups of equal and nearly equal images.
        report: the page.
        path: path of the page.
    """

    facts: list[ImageFacts]
    duplicates: Duplicates
    report: Report
    path: Path


def explore(
    data: BaseData,
    output: Path | str,
    title: str,
    limit: int | None = None,
    processes: int | None = None,
    samples: int = 20,
    correlation: float = 0.95,
    show: bool = True,
) -> Exploration:
    """Look at every image of a datamodule and write `report.html`, its images, `images.csv` and `duplicates.csv`.

    Args:
        data: the datamodule of a config.
        output: output folder.
        title: name of the dataset.
        limit: maximum number of images per split, evenly spread; None: all.
        processes: number of worker processes; None: one per available CPU.
        samples: number of sample images per split.
        correlation: minimum correlation of every channel of near duplicates.
        show: whether to show progress bars.

    Raises:
        FileNotFoundError: there are no training images.
        RuntimeError: a worker died.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    report = Report(title, "", output)
    tables, totals = _tables(data, limit, report)
    examiner = _examiner(data, tables, totals, report)
    rows = rows_with_split(tables)
    facts = gather(examiner, rows, processes, show)
    duplicates = find_duplicates(facts, correlation)
    images = images_table(facts)
    groups = duplicates_table(facts, duplicates)
    write_frame(output / "images.csv", images)
    write_frame(output / "duplicates.csv", groups)
    report.lead = _lead(tables, totals, limit)
    names = channel_names(data.reader)
    viewer = Viewer(examiner, rows, names, data.class_names)
    add_samples(report, facts, viewer, samples)
    add_broken(report, facts)
    add_sizes(report, facts)
    add_intensities(report, facts, names, examiner.pixels)
    add_target(report, facts, {getattr(target, "name", ""): class_names(target) for target in data.targets})
    add_duplicates(report, facts, duplicates, viewer, output)
    add_shifts(report, facts, names)
    add_folds(report, data, facts, duplicates)
    path = output / "report.html"
    report.save(path)
    return Exploration(facts, duplicates, report, path)


def _tables(
    data: BaseData, limit: int | None, report: Report
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The rows to look at, and all rows, of each split; a CSV that does not fit is a finding and is left out."""
    data.prepare_data()
    totals = {"train": _with_or_without(data, "metadata", data.table, report)}
    try:
        test = _with_or_without(data, "test_metadata", data.test_table, report)
    except (FileNotFoundError, ValueError) as error:
        test = None
        report.findings.append(Finding("problem", f"No test images: {error}"))
    if test is not None:
        totals["test"] = test
        # The author's validation images may serve as test images too: one file is no duplicate of itself.
        train = totals["train"]
        totals["train"] = (
            train[~(train["given"] & train["path"].isin(set(test["path"])))] if "given" in train else train
        )
    limit = min(limit or data.max_images or 10**9, data.max_images or 10**9)
    tables = {}
    for split, table in totals.items():
        places = np.unique(np.linspace(0, len(table) - 1, min(limit, len(table))).round().astype(int))
        tables[split] = table.iloc[places].reset_index(drop=True)
    return tables, totals


def _with_or_without(data: BaseData, attribute: str, find: Any, report: Report) -> pd.DataFrame | None:
    try:
        return find()
    except (FileNotFoundError, ValueError) as error:
        kept = getattr(data, attribute)
        if kept is None:
            raise
        setattr(data, attribute, None)
        try:
            table = find()
        finally:
            setattr(data, attribute, kept)
        report.findings.append(Finding("problem", f"`data.{attribute}` was left out: {error}"))
        return table


def _examiner(
    data: BaseData, tables: dict[str, pd.DataFrame], totals: dict[str, pd.DataFrame], report: Report
) -> Examiner:
    targets, unknown = {}, {}
    for split, given in (("train", data.targets), ("test", data.test_targets)):
        if split not in totals or not given:
            continue
        usable, wrong, fatal = prepare_targets(given, totals[split], Path(data.root))
        targets[split], unknown[split] = usable, wrong
        for message in fatal:
            where = "targets" if split == "train" else "targets of the test images"
            level = "problem" if split == "train" else "note"
            report.findings.append(Finding(level, f"No {where}. {message}"))
    count = sum(map(len, tables.values()))
    return Examiner(data.reader, targets, unknown, int(np.clip(DRAWN_PIXELS // count, 16, 4096)))


def _lead(tables: dict[str, pd.DataFrame], totals: dict[str, pd.DataFrame], limit: int | None) -> str:
    parts = [f"{len(table):,} {split}" for split, table in totals.items()]
    text = f"{' and '.join(parts)} images."
    seen = {split: len(table) for split, table in tables.items()}
    if any(seen[split] < len(totals[split]) for split in seen):
        parts = [f"{count:,} {split}" for split, count in seen.items()]
        text += f" **Only {' and '.join(parts)} images, evenly spread, were read**; others may have more duplicates."
    return text
