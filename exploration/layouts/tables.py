"""Labels from a CSV: classes of images, run lengths or boxes."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.matching import match_images
from exploration.layouts.found import TARGETS, Entry, LabelsFound, Task, few
from exploration.layouts.images import ImagesFound, under
from files.tables import read_csv

RUNS = re.compile(r"\s*(\d+\s+\d+(\s+\d+\s+\d+)*)?\s*")
BOXES = (
    (["xmin", "ymin", "xmax", "ymax"], "xyxy"),
    (["x_min", "y_min", "x_max", "y_max"], "xyxy"),
    (["x1", "y1", "x2", "y2"], "xyxy"),
    (["x", "y", "width", "height"], "xywh"),
    (["x", "y", "w", "h"], "xywh"),
)
LABEL_NAMES = ("label", "labels", "class", "target", "category", "diagnosis", "tags", "species", "breed")
SEPARATORS = (" ", "|", ",", ";")


def from_csv(file: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Find out what a CSV says of the images.

    Raises:
        ValueError: no column names the images, or no other column is a label.
    """
    rows, path = read_csv(file), under(images.root, file)
    id_column = _id_column(rows, images, file)
    others = [column for column in columns_of(rows) if column != id_column]
    lower = {column.lower(): column for column in others}
    for names, layout in BOXES:
        if all(name in lower for name in names):
            return _boxes(rows, path, id_column, [lower[name] for name in names], layout)
    for column in others:
        texts = rows[column]
        if (
            (texts != "").any()
            and texts.map(lambda text: RUNS.fullmatch(text) is not None).all()
            and " " in texts.max()
        ):
            return _run_lengths(rows, path, id_column, column)
    return _labels(rows, path, id_column, others, images, task)


def _id_column(rows: pd.DataFrame, images: ImagesFound, file: str) -> str:
    """The column whose values name most images."""
    counts = {}
    for column in columns_of(rows):
        try:
            found = match_images(rows[column], images.table, images.root, f"{file}, column {column}", others="ignore")
        except ValueError:
            continue
        counts[column] = len(found)
    if not counts or 2 * max(counts.values()) < len(images.table):
        ids = few(images.table["image_id"].tolist(), 3)
        raise ValueError(f"{file}: no column of {list(rows.columns)} names the images {ids}")
    return max(counts, key=lambda column: counts[column])


def columns_of(rows: pd.DataFrame) -> list[str]:
    """Names of the columns."""
    return [str(column) for column in rows]


def _suffix(rows: pd.DataFrame, id_column: str) -> str:
    """The ending of all names in the CSV that ids lack, such as `.jpg`."""
    endings = {Path(name).suffix for name in rows[id_column]}
    ending = endings.pop() if len(endings) == 1 else ""
    return ending if ending[1:2].isalpha() else ""


def _named(rows: pd.DataFrame, id_column: str) -> dict[str, Any]:
    suffix = _suffix(rows, id_column)
    return {"id_column": id_column} | ({"suffix": suffix} if suffix else {})


def _boxes(rows: pd.DataFrame, path: str, id_column: str, columns: list[str], layout: str) -> LabelsFound:
    taken = {id_column, *columns}
    named = [
        column
        for column in columns_of(rows)
        if column not in taken and column.lower() in (*LABEL_NAMES, "class_name", "name")
    ]
    names = sorted(set(rows[named[0]]) - {""}) if named else []
    arguments: dict[str, Any] = {"path": path, "kind": "csv", "id_column": id_column, "columns": columns}
    arguments |= {"layout": layout} if layout != "xyxy" else {}
    if len(names) > 1:
        arguments |= {"class_column": named[0], "classes": names}
    classes = {"classes": names} if len(names) > 1 else {}
    return LabelsFound(
        "boxes",
        [Entry(f"{TARGETS}.Boxes", arguments)],
        names if len(names) > 1 else ["object"],
        Entry(
            "submissions.Boxes", classes | _named(rows, id_column) | ({"layout": layout} if layout != "xyxy" else {})
        ),
        found=[f"{len(rows)} rows with boxes in columns {', '.join(columns)}; classes: {few(names) or 'one'}"],
    )


def _run_lengths(rows: pd.DataFrame, path: str, id_column: str, column: str) -> LabelsFound:
    several = bool(rows[id_column].duplicated().any())
    arguments = {"csv": path, "id_column": id_column, "value_column": column}
    form = {**_named(rows, id_column), "value_column": column}
    if several:
        return LabelsFound(
            "instances",
            [
                Entry(f"{TARGETS}.RunLengths", arguments | {"instances": True}),
                Entry(f"{TARGETS}.TouchingBorders"),
            ],
            [],
            Entry("submissions.InstanceRunLengths", form),
            found=[f"run lengths in column {column}, several rows of an image are its objects"],
        )
    return LabelsFound(
        "mask",
        [Entry(f"{TARGETS}.RunLengths", arguments)],
        [],
        Entry("submissions.RunLengths", form),
        found=[f"run lengths in column {column}, a row per image"],
    )


def _labels(
    rows: pd.DataFrame, path: str, id_column: str, others: list[str], images: ImagesFound, task: Task | None
) -> LabelsFound:
    flags = [
        column for column in others if set(rows[column]) <= {"0", "1", "0.0", "1.0"} and len(set(rows[column])) > 1
    ]
    base = {"csv": path, "id_column": id_column}
    if len(flags) > 1 and task in (None, "multi"):
        return LabelsFound(
            "multi",
            [Entry(f"{TARGETS}.Labels", base | {"columns": flags, "kind": "one_hot"})],
            flags,
            Entry("submissions.ClassColumns", {"classes": flags} | _named(rows, id_column)),
            found=[f"a column of 0 and 1 for each of {len(flags)} classes: {few(flags)}"],
        )
    column = _label_column(rows, others)
    values = rows[column]
    form = _named(rows, id_column) | {"value_column": column}
    if task == "number" or (task is None and _numbers(values)):
        return LabelsFound(
            "number",
            [Entry(f"{TARGETS}.Labels", base | {"columns": column, "kind": "number"})],
            [column],
            None,
            found=[f"a number in column {column}, {values.nunique()} values"],
            assumed=["no submission format: write one for numbers, or use the stored predictions"],
        )
    separator = _separator(values) if task in (None, "multi") else None
    if separator is not None:
        names = sorted({part for text in values for part in text.split(separator) if part.strip()})
        given = base | {"columns": column, "kind": "multi", "classes": names}
        written = {"classes": names, **form}
        if separator != " ":
            given["separator"] = written["separator"] = separator
        return LabelsFound(
            "multi",
            [Entry(f"{TARGETS}.Labels", given)],
            names,
            Entry("submissions.Labels", written),
            found=[
                f"several labels in column {column}, separated by {separator!r}; {len(names)} classes: {few(names)}"
            ],
        )
    names = sorted(set(values), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    return LabelsFound(
        "label",
        [Entry(f"{TARGETS}.Labels", base | {"columns": column, "kind": "single", "classes": names})],
        names,
        Entry("submissions.Ordinal", {"classes": names} | form),
        found=[f"one label in column {column}; {len(names)} classes: {few(names)}"],
    )


def _label_column(rows: pd.DataFrame, others: list[str]) -> str:
    named = [column for column in others if column.lower() in LABEL_NAMES]
    usable = [column for column in others if 1 < rows[column].nunique() <= max(2, len(rows) // 2)]
    chosen = named[0] if named else others[0] if len(others) == 1 else usable[0] if usable else None
    if chosen is None or rows[chosen].nunique() < 2:
        raise ValueError(f"no column of {others} has labels: each has one value, or another for each image")
    return chosen


def _numbers(values: pd.Series) -> bool:
    """Whether values are measurements: numbers with fractions, or many different ones."""
    found = pd.to_numeric(values, errors="coerce")
    if found.isna().any():
        return False
    return bool((found % 1 != 0).any() or found.nunique() > 50)


def _separator(values: pd.Series) -> str | None:
    """The separator of labels in a field, if parts of fields occur in others too."""
    for separator in SEPARATORS:
        parts = [text.split(separator) for text in values]
        several = sum(len(one) > 1 for one in parts)
        names = {part for one in parts for part in one}
        if several > 0.02 * len(values) and len(names) <= values.nunique() and max(map(len, parts)) > 1:
            return separator
    return None
