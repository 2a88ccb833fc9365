"""Masks from a table of run lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.table import read_csv
from datamodules.targets.base import Target
from postprocessing import rle
from preprocessing.files import confined


class RunLengths(Target):
    """A mask or instances from the run lengths of a CSV; an image may have several rows.

    Args:
        csv: table under `data.root`.
        id_column: column of the image id.
        value_column: column of the run lengths.
        order: `column` (most competitions) or `row`.
        base: number of the first pixel; 1, in SIIM-ACR 0.
        relative: SIIM-ACR's gap and length pairs.
        empty: text that means an empty mask, beside the empty text.
        instances: each row is an object (Airbus, Data Science Bowl); else the rows of an image are one mask (SIIM-ACR).
        name: name of the array; `mask` `(1, H, W)` uint8 or `instances` `(H, W)` uint16 unless given.
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
    ) -> None:
        self.csv, self.id_column, self.value_column = csv, id_column, value_column
        self.order, self.base, self.relative, self.empty = order, base, relative, empty
        self.instances, self.name = instances, name or ("instances" if instances else "mask")
        self.texts: dict[str, list[str]] = {}

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        path = confined(root, self.csv)
        rows = read_csv(path)
        for column in (self.id_column, self.value_column):
            if column not in rows:
                raise ValueError(f"{path} has no column {column!r}, only {list(rows.columns)}")
        self.texts = {
            image_id: [text for text in part if text.strip() and text.strip() != self.empty]
            for image_id, part in rows.groupby(self.id_column)[self.value_column]
        }
        missing = [image_id for image_id in table["image_id"] if image_id not in self.texts]
        if missing:
            raise ValueError(f"{path} has no row for {len(missing)} images; the first is {missing[0]!r}")

    def files(self, row: Any) -> list[Path]:
        return [confined(self.root, self.csv)]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        labels = np.zeros(size, np.uint16)
        for number, text in enumerate(self.texts[row.image_id], 1):
            try:
                mask = rle.decode(text, size, order=self.order, base=self.base, relative=self.relative)
            except ValueError as error:
                raise ValueError(f"{self.csv}, image {row.image_id!r}, its row {number}: {error}") from error
            labels[mask] = number
        if self.instances:
            return {self.name: labels}
        return {self.name: (labels > 0).astype(np.uint8)[None]}
