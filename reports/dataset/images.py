"""Sections of the report about images: samples, files that cannot be read, sizes, intensities."""

from typing import Any

import numpy as np
import pandas as pd

from evaluation.colours import colour_of, fills_background, name_of
from exploration.facts import Examiner, ImageFacts
from exploration.statistics import channels_table, pixels_of, sizes_table
from reports import charts
from reports.page import Finding, Report
from reports.pictures import cell, png, sheet


class Viewer:
    """Reads images again to draw them; unreadable images have no drawing."""

    def __init__(
        self, examiner: Examiner, rows: list[tuple[Any, str]], names: list[str], classes: list[str] | None = None
    ) -> None:
        self.examiner, self.rows, self.names, self.classes = examiner, rows, names, classes or []

    def picture(self, index: int, side: int, target: bool = True) -> tuple[np.ndarray, str] | None:
        """Small image and remark; see `reports.pictures.cell`."""
        row, split = self.rows[index]
        try:
            image, valid, row = self.examiner.read_image(row)
        except Exception:
            return None  # listed among the files that cannot be read
        arrays = {}
        if target and row.image_id not in self.examiner.unknown.get(split, {}):
            try:
                arrays = self.examiner.target_arrays(row, split, image.shape[:-1], valid)
            except Exception:
                arrays = {}
        return cell(image, arrays, self.names, side, self.classes)


def add_samples(report: Report, facts: list[ImageFacts], viewer: Viewer, samples: int) -> None:
    """Some images of each split with their targets."""
    report.section("Samples")
    kinds = {target.kind for fact in facts for target in fact.target.values() if not target.derived}
    drawn = bool(kinds & {"masks", "classes", "instances", "boxes"})
    report.text("Evenly spread over the list of images." + (" Targets are drawn." if drawn else ""), quiet=True)
    if kinds & {"masks", "classes", "boxes"}:
        first = 1 if "classes" in kinds and not fills_background(viewer.classes) else 0
        known = {
            int(n) for f in facts for t in f.target.values() if t.kind == "classes" for n in t.pixels if n.isdecimal()
        }
        numbers = range(len(viewer.classes)) if viewer.classes else sorted(known)
        entries = [(name_of(number, viewer.classes), colour_of(number)) for number in numbers if number >= first]
        report.legend("Classes", entries)
    for split in ("train", "test"):
        places = [index for index, fact in enumerate(facts) if fact.split == split and fact.error is None]
        if not places:
            continue
        chosen = np.unique(np.linspace(0, len(places) - 1, min(samples, len(places))).round().astype(int))
        cells, pictures, remarks = [], [], set()
        for place in chosen:
            index = places[place]
            found = viewer.picture(index, 328)
            if found is None:
                continue
            small, remark = found
            pictures.append(small)
            remarks |= {remark} - {""}
            about = " · ".join(filter(None, (size_text(facts[index].size), label_text(facts[index]))))
            caption = f"{short(facts[index].image_id)}\n{about}"
            cells.append((png(small), caption))
        if not cells:
            continue
        report.heading(split)
        report.cells(cells)
        if remarks:
            report.text("Display only: " + "; ".join(sorted(remarks)) + ".", quiet=True)
        report.write(f"samples_{split}.png", png(sheet(pictures)))


def add_broken(report: Report, facts: list[ImageFacts]) -> None:
    """Files that could not be read; no section if all could."""
    title = "Files that cannot be read"
    images = [(f.split, f.image_id, "image", f.error) for f in facts if f.error is not None]
    targets = [(f.split, f.image_id, "target", f.target_error) for f in facts if f.target_error is not None]
    if not images and not targets:
        return
    report.section(title)
    if images:
        text = f"{counted(len(images), 'image')} cannot be read."
        report.findings.append(Finding("problem", text, title))
    if targets:
        text = f"{counted(len(targets), 'image')} without a readable target; the first: {targets[0][3]}."
        report.findings.append(Finding("problem", text, title))
    report.table(pd.DataFrame([*images, *targets], columns=["split", "image", "file", "reason"]), most=200)


def add_sizes(report: Report, facts: list[ImageFacts]) -> None:
    """Sizes, channels and types."""
    report.section("Sizes")
    table = sizes_table(facts)
    if not len(table):
        report.text("No image could be read.")
        return
    kinds = table[["channels", "type"]].drop_duplicates()
    if len(kinds) > 1:
        what = ", ".join(f"{row.channels} × {row.type}" for row in kinds.itertuples())
        text = f"Images differ in channels or type: {what}. A network needs one kind; see `data.reader`."
        report.findings.append(Finding("problem", text, "Sizes"))
    if table["size"].nunique() == 1:
        report.text("All images have one size.")
    else:
        splits = {s: np.array([f.size[-2:] for f in facts if f.split == s and f.size]) for s in ("train", "test")}
        splits = {split: sizes for split, sizes in splits.items() if len(sizes)}
        drawing = charts.chart(charts.scatter_sizes(splits), 4.8, 3.4)
        report.charts([("sizes", drawing, "Sizes in pixels; a dot's area is the share of images.")])
        new = table[table["train"] == 0] if {"train", "test"} <= set(table) else table.iloc[:0]
        if len(new):
            text = f"{counted(int(new['test'].sum()), 'test image')} of sizes that train does not have"
            report.findings.append(Finding("look", f"{text} (first {new['size'].iloc[0]}).", "Sizes"))
    partial = sum(fact.partial for fact in facts)
    if partial:
        text = f"Only the middle of {counted(partial, 'scene')} was read; sizes, colours and targets are those of it."
        report.text(text, quiet=True)
    report.table(table, most=15)


def add_intensities(report: Report, facts: list[ImageFacts], names: list[str], drawn: int) -> None:
    """Histograms and percentiles of every channel."""
    good = [fact for fact in facts if fact.error is None]
    report.section("Intensities")
    if not good:
        report.text("No image could be read.")
        return
    drawings = []
    most = max(fact.channels for fact in good)
    gray = [fact for fact in good if fact.equal_channels]
    channels = 1 if gray and len(gray) == len(good) else min(most, 16)
    for channel in range(channels):
        values = {s: pixels_of(good, s, channel) for s in ("train", "test")}
        values = {split: part for split, part in values.items() if len(part)}
        name = names[channel] if channel < len(names) else f"channel {channel}"
        name = "all channels" if channels == 1 and most == 3 else name
        drawing = charts.chart(charts.histogram(values, f"pixel value, {name}"))
        drawings.append((f"intensity_{channel}", drawing, f"Pixels of {name}, {drawn:,} drawn from each image."))
    means = {s: np.array([f.mean.mean() for f in good if f.split == s]) for s in ("train", "test")}
    means = {split: part for split, part in means.items() if len(part)}
    drawings.append(
        (
            "brightness",
            charts.chart(charts.histogram(means, "mean of an image", int(np.clip(2 * np.sqrt(len(good)), 8, 40)))),
            "Mean of each image.",
        )
    )
    report.charts(drawings)
    if most > 16:
        report.text(f"Histograms of the first 16 of {most} channels.", quiet=True)
    report.table(channels_table(good, names), most=80)
    text = "Percentiles, mean and std over the drawn pixels, min and max over whole images. "
    report.text(text + "Of images above 4 million pixels every n-th one counts.", quiet=True)
    if channels == 1 and most == 3:
        text = "R = G = B in all images: `reader.channels: gray` reads one channel instead of three."
        report.findings.append(Finding("note", text, "Intensities"))
    elif gray:
        text = f"R = G = B in {counted(len(gray), 'image')} of {len(good):,}; the others have colours."
        report.findings.append(Finding("note", text, "Intensities"))
    flat = [fact for fact in good if single_colour(fact)]
    if flat:
        first = short(flat[0].image_id, 40)
        tests = sum(fact.split == "test" for fact in flat)
        text = f"{counted(len(flat), 'image')} with a single colour ({tests:,} of them in test), first `{first}`."
        report.findings.append(Finding("look", text, "Intensities"))
    void = [fact for fact in good if fact.valid < 0.5]
    if void:
        text = f"{counted(len(void), 'image')} more than half without data (nodata, padding)."
        report.findings.append(Finding("look", text, "Intensities"))


def single_colour(fact: ImageFacts) -> bool:
    """Whether all valid pixels of a readable image are equal."""
    return fact.error is None and fact.valid > 0 and not np.any(fact.std)


def size_text(size: tuple[int, ...]) -> str:
    """`256 × 320` that no line break divides."""
    return "\u00a0×\u00a0".join(map(str, size))


def label_text(fact: ImageFacts) -> str:
    """Targets of an image in a few words."""
    texts = []
    for name, target in fact.target.items():
        if target.derived:
            continue
        if target.kind == "labels":
            texts.append(", ".join(target.labels) or "(no label)")
        elif target.kind == "numbers":
            texts.append(", ".join(f"{value:.4g}" for value in target.numbers))
        elif target.kind in ("instances", "boxes"):
            texts.append(counted(len(target.areas), "object").replace(" ", "\u00a0"))
        elif target.kind == "masks" and not any(target.pixels.values()):
            texts.append(f"no {name}")
    return ", ".join(texts)


def short(image_id: str, most: int = 16) -> str:
    """The beginning of a long id."""
    return image_id if len(image_id) <= most else image_id[: most - 1] + "…"


def counted(number: int, what: str) -> str:
    """`1 image`, `2,000 images`."""
    ending = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{ending}"
