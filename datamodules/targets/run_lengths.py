"""Masks from a table of run lengths."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.row import Row
from datamodules.targets.base import Target
from files.paths import confined
from files.tables import read_csv
from masks import rle


class RunLengths(Target):
    """A mask or instances from the run lengths in a CSV; an image may have several rows.

    Args:
        csv: table under `data.root`.
        id_column: column of the image id.
        value_column: column of the run lengths.
        order: pixel order: `column` (most competitions) or `row`.
        base: number of the first pixel: 1, or 0 in SIIM-ACR.
        relative: whether run lengths are pairs of gap and length, as in SIIM-ACR.
        empty: text of an empty mask, besides an empty field.
        instances: whether each row is an object (Airbus, Data Science Bowl); otherwise the rows of an image form one
            mask (SIIM-ACR).
        name: name of the array (default: `mask` `(K, H, W)` uint8 or `instances` `(H, W)` int32).
        classes: class names in the order of the mask's channels (default: `data.classes`, if it has several); None for
            one channel.
        class_column: column of the class (UW-Madison); without it, the class is the part of the id after the last
            `class_separator` (Clouds: `0011165.jpg_Fish`).
        class_separator: separator between image id and class.
    """

    def __init__(
        self,
        csv: str,
        id_column: str = "ImageId",
        value_column: str = "EncodedPixels",
        order: rle.Order = "column",
        base: int = 1,
        relative: bool = False,
        empty: str = "-1",
        instances: bool = False,
        name: str | None = None,
        classes: list[str] | None = None,
        class_column: str | None = None,
        class_separator: str = "_",
    ) -> None:
        if instances and classes is not None:
            raise ValueError("RunLengths: instances and classes are both set; use one target per class for instances")
        self.csv, self.id_column, self.value_column = csv, id_column, value_column
        self.order, self.base, self.relative, self.empty = order, base, relative, empty
        self.instances, self.name = instances, name or ("instances" if instances else "mask")
        self.classes, self.class_column, self.class_separator = classes, class_column, class_separator
        self.texts: dict[str, list[tuple[int, str]]] = {}
        self._runs: dict[str, list[tuple[int, rle.Runs]]] = {}

    def adopts_classes(self, count: int) -> bool:
        return count > 1 and not self.instances

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        path = confined(root, self.csv)
        rows = read_csv(path)
        for column in (self.id_column, self.value_column, *([self.class_column] if self.class_column else [])):
            if column not in rows:
                raise ValueError(f"{path} has no column {column!r}, only {list(rows.columns)}")
        ids, channels = self._split(rows, path)
        ids = matched(ids, table, root, f"{path}, column {self.id_column}", every=True)
        self.texts, self._runs = {image_id: [] for image_id in table["image_id"]}, {}
        for image_id, channel, text in zip(ids, channels, rows[self.value_column], strict=True):
            if image_id in self.texts and text and text != self.empty:
                self.texts[image_id].append((channel, text))

    def _split(self, rows: pd.DataFrame, path: Path) -> tuple[pd.Series, list[int]]:
        """Return the image id and channel of every row."""
        ids = rows[self.id_column]
        if self.classes is None:
            return ids, [0] * len(rows)
        kinds = rows[self.class_column] if self.class_column else ids.str.rsplit(self.class_separator, n=1).str[-1]
        unknown = kinds[~kinds.isin(self.classes)]
        if len(unknown):
            raise ValueError(
                f"{path}, row {unknown.index[0] + 2}: class {unknown.iloc[0]!r}, expected one of "
                f"{', '.join(self.classes)}; set target.classes"
            )
        ids = ids if self.class_column else ids.str.rsplit(self.class_separator, n=1).str[0]
        return ids, [self.classes.index(kind) for kind in kinds]

    def files(self, row: Row) -> list[Path]:
        return [confined(self.root, self.csv)]

    def read_window(self, row: Row, size: tuple[int, ...], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        maps = self._empty(window[2:])
        for number, (channel, runs) in enumerate(self._parsed(row.image_id, size), 1):
            value = number if self.instances else 1
            rle.paint_window(maps[channel], runs, value, size, tuple(window), self.order)
        return {self.name: maps[0] if self.instances else maps}

    def _empty(self, size: tuple[int, ...]) -> np.ndarray:
        """Return zeros `(K, …)`; one plane for instances."""
        return np.zeros((len(self.classes or [""]), *size), np.int32 if self.instances else np.uint8)

    def _parsed(self, image_id: str, size: tuple[int, ...]) -> list[tuple[int, rle.Runs]]:
        """Return channel and runs of each row of an image; parsed once for all windows of a large image."""
        if image_id not in self._runs:
            self._runs[image_id] = self._parse(image_id, size)
        return self._runs[image_id]

    def _parse(self, image_id: str, size: tuple[int, ...]) -> list[tuple[int, rle.Runs]]:
        found = []
        for number, (channel, text) in enumerate(self.texts[image_id], 1):
            try:
                found.append((channel, rle.parse([text], size[0] * size[1], self.base, self.relative)))
            except ValueError as error:
                raise ValueError(f"{self.csv}, image {image_id!r}, its row {number}: {error}") from error
        return found

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        self._parse(row.image_id, size)

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        maps = self._empty((size[0] * size[1],))
        for number, (channel, runs) in enumerate(self._parse(row.image_id, size), 1):
            rle.paint(maps[channel], runs, number if self.instances else 1)
        across = self.order == "column"
        maps = maps.reshape(-1, *size[::-1]).transpose(0, 2, 1) if across else maps.reshape(-1, *size)
        maps = np.ascontiguousarray(maps)
        return {self.name: maps[0] if self.instances else maps}
