"""Sections of the report about targets: pixels of classes, objects, labels."""

import numpy as np
import pandas as pd

from exploration.facts import ImageFacts
from exploration.statistics import cooccurrence, label_counts, pixel_classes, target_names, targets_of
from reports import charts
from reports.dataset.images import counted
from reports.page import Finding, Report

TINY = 10  # pixels; smaller objects are mostly annotation errors


def add_target(report: Report, facts: list[ImageFacts], known: dict[str, list[str]]) -> None:
    """A part for each target array; `known` are the class names of the config, by array."""
    report.section("Targets")
    found = target_names(facts)
    if not found:
        report.text("There are no targets.")
        return
    for name, kind in found.items():
        splits = {split: targets_of(facts, name, split) for split in ("train", "test")}
        splits = {split: targets for split, targets in splits.items() if targets}
        first = next(iter(splits.values()))[0]
        report.heading(f"{name} (derived)" if first.derived else name)
        if kind in ("masks", "classes"):
            _pixels(report, name, splits, first.derived)
        elif kind in ("instances", "boxes"):
            _objects(report, name, kind, splits)
        elif kind == "labels":
            _label_section(report, name, splits)
            present = {label for target in splits.get("train", []) for label in target.labels}
            absent = [label for label in known.get(name, []) if label not in present]
            if absent and present:
                some = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
                text = f"`{name}`: {counted(len(absent), 'class')} without a training image: {some}"
                report.findings.append(Finding("look", text, "Targets"))
        else:
            values = {split: np.array([v for t in targets for v in t.numbers]) for split, targets in splits.items()}
            report.charts([(f"target_{name}", charts.chart(charts.histogram(values, name)), f"Values of {name}.")])


def _pixels(report: Report, name: str, splits: dict[str, list], derived: bool) -> None:
    tables = {split: pixel_classes(targets) for split, targets in splits.items()}
    train = next(iter(tables.values()))
    if len(tables) > 1:
        train = train.merge(
            tables["test"].drop(columns="images with it"), on="class", how="outer", suffixes=("", ", test")
        )
    report.table(train)
    split, targets = next(iter(splits.items()))
    table = tables[split]
    masks = targets[0].kind == "masks"
    empty = sum(not any(target.pixels.values()) for target in targets)
    if masks and not derived and empty:
        share = empty / len(targets)
        report.text(f"{empty:,} of {len(targets):,} {split} images ({share:.1%}) are empty.")
        level = "look" if share > 0.3 else "note"
        text = f"{share:.0%} of the {split} images have no `{name}`"
        advice = "; see the sampler, an `Empty` head and `MinimumArea`." if share > 0.3 else "."
        report.findings.append(Finding(level, text + advice, "Targets"))
    rare = table[(table["share of pixels"] > 0) & (table["share of pixels"] < 0.01)]
    if len(rare) and not derived:
        which = ", ".join(f"{row['class']} ({row['share of pixels']:.2%})" for _, row in rare.head(4).iterrows())
        text = f"`{name}`: under 1 % of the pixels are {which}; dice or lovasz help."
        report.findings.append(Finding("look", text, "Targets"))
    if not derived:
        areas = {s: np.array([sum(t.pixels.values()) / max(1, t.total) for t in ts]) for s, ts in splits.items()}
        if masks:
            drawing = charts.chart(charts.histogram(areas, f"share of an image that is {name}", 40))
            report.charts([(f"area_{name}", drawing, "Foreground of each image.")])
        elif len(table) > 1:
            shares = {
                s: t.set_index("class")["share of pixels"].reindex(table["class"]).fillna(0) for s, t in tables.items()
            }
            height = min(8, 1.2 + 0.28 * len(table) * len(shares))
            drawing = charts.chart(charts.bars(table["class"].tolist(), shares, "share of pixels"), height=height)
            report.charts([(f"classes_{name}", drawing, "Share of each class.")])


def _objects(report: Report, name: str, kind: str, splits: dict[str, list]) -> None:
    counts = {split: np.array([len(target.areas) for target in targets]) for split, targets in splits.items()}
    areas = {split: np.concatenate([target.areas for target in targets]) for split, targets in splits.items()}
    areas = {split: part[part > 0] for split, part in areas.items() if (part > 0).any()}
    rows = []
    for split, part in counts.items():
        sizes = areas.get(split, np.array([np.nan]))
        low, middle, high = np.percentile(sizes, (1, 50, 99))
        rows.append((split, int(part.sum()), np.median(part), part.max(), (part == 0).mean(), low, middle, high))
    columns = ["split", "objects", "median per image", "most", "share empty", "area 1 %", "area median", "area 99 %"]
    report.table(pd.DataFrame(rows, columns=columns))
    drawings = [
        (f"counts_{name}", charts.chart(charts.histogram(counts, "objects in an image", 40)), "Objects per image.")
    ]
    if areas:
        drawing = charts.chart(charts.histogram(areas, "area of an object in pixels", 60, log=True))
        drawings.append((f"areas_{name}", drawing, "Areas of all objects."))
    report.charts(drawings)
    labels = {split: [label for target in targets for label in target.labels] for split, targets in splits.items()}
    if kind == "boxes" and any(labels.values()):
        split, found = next(iter(labels.items()))
        report.table(pd.Series(found).value_counts().rename_axis("class").reset_index(name=f"boxes, {split}"))
    split, part = next(iter(areas.items()), ("train", np.zeros(0)))
    tiny = int((part < TINY).sum())
    if tiny:
        text = f"{counted(tiny, 'object')} of `{name}` in {split} under {TINY} pixels: annotation errors?"
        report.findings.append(Finding("look", text, "Targets"))
    empty = int((counts.get("train", np.ones(1)) == 0).sum())
    if empty:
        text = f"{counted(empty, 'train image')} without any object of `{name}`."
        report.findings.append(Finding("look", text, "Targets"))


def _label_section(report: Report, name: str, splits: dict[str, list]) -> None:
    split, targets = next(iter(splits.items()))
    table = label_counts(targets)
    if "test" in splits and split != "test":
        test = label_counts(splits["test"])[["class", "share of images"]]
        table = table.merge(test, on="class", how="outer", suffixes=("", ", test")).sort_values(
            "images", ascending=False
        )
    lengths = np.array([len(set(target.labels)) for target in targets])
    several = len(lengths) and (lengths.max() > 1 or lengths.min() == 0)
    if several:
        report.text(
            f"{lengths.mean():.3f} labels per image in {split} (max {lengths.max()}, none on {(lengths == 0).sum():,})."
        )
    shown = label_counts(targets).head(40)
    values = {split: shown["images"].to_numpy()}
    height = min(9, 0.9 + 0.2 * len(shown))
    caption = f"Images of each class in {split}" + (", the 40 most frequent." if len(table) > 40 else ".")
    drawings = [
        (f"labels_{name}", charts.chart(charts.bars(shown["class"].tolist(), values, "images"), height=height), caption)
    ]
    if several and len(shown) > 1 and len(targets) > 1:
        names = shown["class"].tolist()
        side = min(9.0, 2.4 + 0.22 * len(names))
        drawing = charts.chart(
            charts.matrix(cooccurrence(targets, names), names, "share of the row's images with the column"), side, side
        )
        drawings.append((f"together_{name}", drawing, "Which labels come together."))
    report.charts(drawings)
    report.table(table, most=60)
    counts = label_counts(targets)["images"].to_numpy()
    if len(counts) > 1 and counts.max() > 20 * counts.min():
        few = label_counts(targets).iloc[-1]
        text = (
            f"`{name}`: the rarest class, {few['class']}, has "
            f"{counted(int(few['images']), 'image')}, the most frequent {counts.max():,}; "
            "stratify the folds by it, and balance the sampler or the loss."
        )
        report.findings.append(Finding("look", text, "Targets"))
