"""Sections of the report that compare: duplicates, train against test, folds."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.plain import BaseData
from evaluation.folds import read_folds
from exploration.duplicates import KINDS, Duplicates, across, contradictions, split_groups
from exploration.facts import ImageFacts
from exploration.shift import Shift, label_shift, number_shift
from exploration.statistics import fold_table, image_statistics, target_names, targets_of
from reports.dataset.images import Viewer, counted, label_text, short, single_colour
from reports.page import Finding, Report
from reports.pictures import png

CLEAR = 0.1  # Kolmogorov-Smirnov distance below which a shift is real and does not matter


def add_duplicates(
    report: Report, facts: list[ImageFacts], duplicates: Duplicates, viewer: Viewer, output: Path
) -> None:
    """Groups of equal and nearly equal images, side by side."""
    title = "Duplicates"
    report.section(title)
    exact, every = duplicates.groups(("bytes", "pixels")), duplicates.groups()
    near = [group for group in every if set(group) not in [set(other) for other in exact]]
    # Images of a single colour are reported as such; that they equal each other says nothing more.
    exact, near = (
        [group for group in found if not all(single_colour(facts[index]) for index in group)] for found in (exact, near)
    )
    rows = [
        ("equal bytes", *_sizes_of(duplicates.groups(("bytes",)), facts)),
        ("equal pixels", *_sizes_of(duplicates.groups(("pixels",)), facts)),
        ("nearly equal", *_sizes_of(near, facts)),
    ]
    report.table(pd.DataFrame(rows, columns=["evidence", "groups", "images", "groups in train and test"]))
    report.text(
        "Nearly equal: every channel of the 64 × 64 thumbnails correlates, or the perceptual hashes agree, also "
        "rotated or flipped; an image that resembles any image of a group belongs to it.",
        quiet=True,
    )
    _duplicate_findings(report, facts, duplicates, exact, near, title, output)
    for heading, groups in (("Equal", exact), ("Nearly equal", near)):
        if not groups:
            continue
        report.heading(heading)
        ordered = sorted(groups, key=lambda group: (group not in across(facts, [group]), -len(group)))
        for group in ordered[:16]:
            figures = []
            for index in group[:6]:
                found = viewer.picture(index, 200, target=False)
                if found is not None:
                    about = " · ".join(filter(None, (facts[index].split, label_text(facts[index]))))
                    figures.append((png(found[0]), f"{short(facts[index].image_id)}\n{about}"))
            kinds = {duplicates.kind[index] for index in group}
            _group(report, len(group), [kind for kind in KINDS if kind in kinds], figures)
        if len(groups) > 16:
            report.text(f"16 of {len(groups):,} groups; all are in `duplicates.csv`.", quiet=True)


def _group(report: Report, size: int, kinds: list[str], figures: list[tuple[bytes, str]]) -> None:
    words = {"bytes": "equal bytes", "pixels": "equal pixels", "correlation": "correlation", "hash": "perceptual hash"}
    left = [f"the first {len(figures)} shown"] if len(figures) < size else []
    report.group(f"{size} images", [", ".join(words[kind] for kind in kinds), *left], figures)


def _sizes_of(groups: list[list[int]], facts: list[ImageFacts]) -> tuple[int, int, int]:
    return len(groups), sum(map(len, groups)), len(across(facts, groups))


def _duplicate_findings(
    report: Report,
    facts: list[ImageFacts],
    duplicates: Duplicates,
    exact: list[list[int]],
    near: list[list[int]],
    title: str,
    output: Path,
) -> None:
    use = (
        f"To keep them in one fold copy `{output / 'duplicates.csv'}` under "
        "`data.root` and set `data.metadata: duplicates.csv` and "
        "`cv.group: duplicate_group`."
    )
    if exact:
        text = f"{counted(len(exact), 'group')} of equal images ({sum(map(len, exact)):,} images)."
        report.findings.append(Finding("look", f"{text} `cv.duplicates` keeps them in one fold.", title))
    if near:
        text = f"{counted(len(near), 'group')} of nearly equal images ({sum(map(len, near)):,} images)."
        report.findings.append(Finding("look", f"{text} {use}", title))
    for groups, word in ((exact, "equal"), (near, "nearly equal")):
        leaked = sum(facts[index].split == "test" for group in across(facts, groups) for index in group)
        if leaked:
            text = f"{counted(leaked, 'test image')} {word} to training images: their targets are known."
            report.findings.append(Finding("look", text, title))
    wrong = contradictions(facts, exact)
    if wrong:
        pair = ", ".join(f"`{short(facts[index].image_id)}`" for index in wrong[0][:3])
        text = f"{counted(len(wrong), 'group')} of equal images with different labels, first {pair}."
        report.findings.append(Finding("problem", text, title))
    ids = [fact.image_id for fact in facts]
    if len(set(ids)) < len(ids):
        text = f"{counted(len(ids) - len(set(ids)), 'id')} in both train and test; a table joined by id mixes them up."
        report.findings.append(Finding("look", text, title))


def add_shifts(report: Report, facts: list[ImageFacts], names: list[str]) -> None:
    """Images and targets of train against those of test."""
    title = "Train against test"
    report.section(title)
    if not any(fact.split == "test" and fact.error is None for fact in facts):
        report.text("There are no test images to compare with.")
        return
    parts = {split: [fact for fact in facts if fact.split == split] for split in ("train", "test")}
    report.heading("Images")
    shift = number_shift(*(image_statistics(part, names) for part in parts.values()), what="image statistics")
    add_shift(report, shift, "test")
    clear = shift.rows[shift.rows["shifted"] & (shift.rows["effect"] >= CLEAR)].sort_values("effect", ascending=False)
    if len(clear):
        first = clear.iloc[0]
        text = (
            f"Test images differ from train in {len(clear)} of {len(shift.rows)} statistics, most in "
            f"{first['what']} (median {first['train']:.4g} against {first['reference']:.4g})."
        )
        report.findings.append(Finding("look", text, title))
    else:
        report.findings.append(Finding("note", "No clear shift of the images between train and test.", title))
    for name, kind in target_names(facts).items():
        targets = {split: targets_of(part, name) for split, part in parts.items()}
        if not all(targets.values()) or targets["train"][0].derived:
            continue
        report.heading(f"Targets: {name}")
        if kind == "labels":
            found = label_shift(*([target.labels for target in part] for part in targets.values()))
        elif kind in ("instances", "boxes"):
            found = number_shift(*(_object_frame(part) for part in targets.values()), what=name)
        elif kind == "numbers":
            found = number_shift(*(pd.DataFrame([t.numbers for t in part]) for part in targets.values()), what=name)
        else:
            found = number_shift(*(_pixel_frame(part) for part in targets.values()), what=name)
        add_shift(report, found, "test")
        if found.shifted:
            report.findings.append(Finding("look", "; ".join(found.sentences[:3]) + ".", title))


def _object_frame(targets: list) -> pd.DataFrame:
    areas = [float(np.median(target.areas)) if len(target.areas) else np.nan for target in targets]
    return pd.DataFrame({"objects in an image": [len(target.areas) for target in targets], "their median area": areas})


def _pixel_frame(targets: list) -> pd.DataFrame:
    names = sorted({name for target in targets for name in target.pixels})
    return pd.DataFrame([{n: target.pixels.get(n, 0) / max(1, target.total) for n in names} for target in targets])


def add_shift(report: Report, shift: Shift, reference: str = "reference") -> None:
    """The verdict and the table of a comparison; `reference` is how the other set is called."""
    first, *others = shift.sentences
    report.text(first[0].upper() + first[1:] + ".")
    for sentence in others:
        if sentence.startswith("labels per sample"):
            report.text(sentence[0].upper() + sentence[1:] + ".")
    if not len(shift.rows):
        return
    rows = shift.rows.sort_values(["p", "effect"], ascending=[True, False])
    classes = rows["what"].str.startswith("class ")
    for share, part in ((True, rows[classes]), (False, rows[~classes])):
        if not len(part):
            continue
        names = ("share of train", f"share of {reference}", "ratio") if share else ("train", reference, "distance")
        shown = part.rename(columns=dict(zip(("train", "reference", "effect"), names, strict=True)))
        shown = shown.assign(
            what=shown["what"].str.removeprefix("class "), shifted=np.where(part["shifted"], "yes", "")
        )
        report.table(shown.rename(columns={"what": "class"} if share else {}), marked=part["shifted"].tolist())
    if classes.any():
        report.text("Share of the images that have the class. p is adjusted for the number of rows (Holm).", quiet=True)
    else:
        report.text(
            "Medians, and the largest distance between the two cumulated distributions, 0 to 1 (Kolmogorov-Smirnov). "
            "p is adjusted for the number of rows (Holm).",
            quiet=True,
        )


def add_folds(report: Report, data: BaseData, facts: list[ImageFacts], duplicates: Duplicates) -> None:
    """What is in each fold, and what lies in two."""
    report.section("Folds")
    if data.folds is None or not Path(data.folds).is_file():
        name = "" if data.folds is None else f" `{data.folds}`"
        report.text(f"No folds file{name} yet: `python cli.py folds --config …` makes it.")
        return
    try:
        folds = read_folds(data.folds)
    except ValueError as error:
        report.text(str(error))
        report.findings.append(Finding("problem", str(error), "Folds"))
        return
    report.text(f"`{data.folds}`")
    report.table(fold_table(folds, facts))
    wrong = split_groups(facts, duplicates, folds)
    if wrong:
        pair = ", ".join(f"`{short(facts[index].image_id)}`" for index in wrong[0][:3])
        text = (
            f"{counted(len(wrong), 'group')} of equal or nearly equal images split between folds, first {pair}: "
            "images of the validation fold were trained on."
        )
        report.findings.append(Finding("problem", text, "Folds"))
    known, present = set(folds["image_id"]), {fact.image_id for fact in facts if fact.split == "train"}
    if present - known:
        text = f"{counted(len(present - known), 'train image')} in no fold; make the folds again."
        report.findings.append(Finding("problem", text, "Folds"))
