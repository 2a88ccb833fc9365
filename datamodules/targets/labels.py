"""Image-level labels from the columns of a table."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.row import Row
from datamodules.targets.base import Target
from files.paths import confined
from files.tables import comma_hint, read_csv


class Labels(Target):
    """`label` of an image: one class, several classes, grades or a number.

    Args:
        columns: column of the labels; several for `one_hot` (a column of 0 and 1 per class).
        csv: table under `data.root`; None for columns of the image table (`data.metadata`).
        id_column: column of the image id in the CSV, with or without an ending such as `.jpg`.
        kind: kind of label. `single`: a class number, int64 `()`. `multi`: a list of classes in one field, float32
            `(K,)` of 0 and 1. `one_hot`: the same from one column per class. `ordinal`: grades 0 … K − 1 as K − 1
            answers to "above k?", float32 `(K − 1,)`, so that a sigmoid per threshold learns the order. `number`: the
            number itself, float32 `(1,)`, for a regression.
        classes: class names in the order of the network's outputs, as written in the table; a number K means the
            numbers 0 … K − 1 (default: `data.classes`).
        separator: separator of the classes in one field (`multi`): a space (HPA 2018, Planet), `|` (HPA single-cell).
        several_rows: whether images may have several rows: those of `multi` are merged, those of other kinds must
            agree.
        name: name of the array.
    """

    tabular = True

    def __init__(
        self,
        columns: str | list[str],
        csv: str | None = None,
        id_column: str = "image_id",
        kind: Literal["single", "multi", "one_hot", "ordinal", "number"] = "single",
        classes: int | list[str] | None = None,
        separator: str = " ",
        several_rows: bool = False,
        name: str = "label",
    ) -> None:
        self.columns = [columns] if isinstance(columns, str) else list(columns)
        if len(self.columns) > 1 and kind != "one_hot":
            raise ValueError(f"Labels: columns has {len(self.columns)} names, but kind {kind} needs 1")
        self.csv, self.id_column, self.kind, self.classes = csv, id_column, kind, classes
        self.separator, self.several_rows, self.name = separator, several_rows, name
        self.values: dict[str, np.ndarray] = {}

    def take_classes(self, names: list[str] | None) -> None:
        if names is not None and self.kind == "one_hot" and len(self.columns) != len(names):
            raise ValueError(
                f"Labels: columns are {self.columns}, but data.classes is {names} ({len(names)} classes); one_hot "
                "needs a column per class"
            )
        if self.kind != "number":
            super().take_classes(names)
        self._check_classes()

    def adopts_classes(self, count: int) -> bool:
        return self.kind != "one_hot"

    def _check_classes(self) -> None:
        if self.classes is None and self.kind not in ("one_hot", "number"):
            raise ValueError(
                "Labels: classes is not set; set it, or data.classes, to the class names in order, or their number"
            )

    def class_names(self, root: Path) -> list[str] | None:
        return super().class_names(root) or (self.columns if self.kind == "one_hot" else None)

    def written_classes(self) -> list[str]:
        """Return the classes as written in the table, in the order of the outputs."""
        if self.kind in ("one_hot", "number"):
            return self.columns
        return [str(number) for number in range(self.classes)] if isinstance(self.classes, int) else list(self.classes)

    def from_columns(self, columns: list[str]) -> None:
        if set(self.columns) <= set(columns):
            self.csv = None

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._check_classes()
        rows, where = table, "the image table"
        if self.csv is not None:
            path = confined(root, self.csv)
            rows, where = read_csv(path), str(path)
            if self.id_column not in rows:
                raise ValueError(f"{where} has no column {self.id_column!r}, only {list(rows.columns)}")
        lacking = [column for column in self.columns if column not in rows]
        if lacking:
            raise ValueError(f"{where} has no column {lacking[0]!r}, only {list(rows.columns)}; check target.columns")
        if self.csv is None:
            ids = rows["image_id"].astype(str)
        else:
            ids = matched(rows[self.id_column], table, root, f"{where}, column {self.id_column}", every=True)
        fields: dict[str, list[list[str]]] = {}
        for image_id, values in zip(ids, rows[self.columns].astype(str).to_numpy().tolist(), strict=True):
            fields.setdefault(image_id, []).append(values)
        twice = next((i for i in table["image_id"] if len(fields[i]) > 1 and not self.several_rows), None)
        if twice is not None:
            raise ValueError(
                f"{where} has {len(fields[twice])} rows for image {twice!r}, expected 1; set several_rows if each adds "
                "a class"
            )
        self.values = {image_id: self._value(image_id, fields[image_id], where) for image_id in table["image_id"]}

    def _value(self, image_id: str, rows: list[list[str]], where: str) -> np.ndarray:
        """Return the label of an image from its rows, which are merged (`multi`) or must agree."""
        values = [self._of_row(image_id, row, where) for row in rows]
        if self.kind == "multi":
            return np.maximum.reduce(values)
        other = next(
            (row for row, value in zip(rows, values, strict=True) if not np.array_equal(value, values[0])), None
        )
        if other is not None:
            raise ValueError(
                f"{where}: the rows of image {image_id!r} differ: {', '.join(rows[0])} and "
                f"{', '.join(other)}; kind {self.kind} needs one label per image"
            )
        return values[0]

    def _of_row(self, image_id: str, row: list[str], where: str) -> np.ndarray:
        names = self.written_classes()
        if self.kind == "one_hot":
            numbers = [float(value) if re.fullmatch(r"[01](\.0*)?", value.strip()) else -1 for value in row]
            if min(numbers) < 0:
                raise ValueError(f"{where}: image {image_id!r} has {row[numbers.index(-1)]!r}, expected 0 or 1")
            return np.array(numbers, np.float32)
        text = row[0].strip()
        if self.kind == "number":
            try:
                number = float(text)
            except ValueError:
                number = float("nan")
            if not np.isfinite(number):
                raise ValueError(f"{where}: image {image_id!r} has {text!r}, expected a number{comma_hint(text)}")
            return np.array([number], np.float32)
        if self.kind == "multi":
            parts = [part.strip() for part in text.split(self.separator) if part.strip()]
        else:
            parts = [text]
        unknown = [part for part in parts if part not in names]
        if unknown:
            raise ValueError(
                f"{where}: image {image_id!r} has class {unknown[0]!r}, expected one of {', '.join(names[:12])}"
                + (" …" if len(names) > 12 else "")
            )
        numbers = [names.index(part) for part in parts]
        if self.kind == "single":
            return np.array(numbers[0], np.int64)
        if self.kind == "ordinal":
            return (numbers[0] > np.arange(len(names) - 1)).astype(np.float32)
        value = np.zeros(len(names), np.float32)
        value[numbers] = 1
        return value

    def files(self, row: Row) -> list[Path]:
        return [] if self.csv is None else [confined(self.root, self.csv)]

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {self.name: self.values[row.image_id]}
