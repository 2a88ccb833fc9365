"""Labels in tables with one row per image and class."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import match_images
from datamodules.row import Row
from datamodules.targets.base import Target
from files.paths import confined
from files.tables import read_csv


class LongLabels(Target):
    """`label` float32 `(K,)` of 0 and 1 from rows `<image>_<class>,0|1`: RSNA Intracranial Hemorrhage.

    Repeated rows, as in the competition's file, must agree.

    Args:
        csv: table under `data.root`.
        classes: class names in the order of the network's outputs (default: `data.classes`).
        id_column: column of `<image><separator><class>`.
        value_column: column of 0 and 1.
        separator: separator between image and class.
        name: name of the array.
    """

    tabular = True

    def __init__(
        self,
        csv: str,
        classes: list[str] | None = None,
        id_column: str = "ID",
        value_column: str = "Label",
        separator: str = "_",
        name: str = "label",
    ) -> None:
        self.csv, self.classes, self.id_column, self.value_column = csv, classes, id_column, value_column
        self.separator, self.name = separator, name
        self.values: dict[str, np.ndarray] = {}

    def take_classes(self, names: list[str] | None) -> None:
        super().take_classes(names)
        self._check_classes()

    def adopts_classes(self, count: int) -> bool:
        return True

    def _check_classes(self) -> None:
        if self.classes is None:
            raise ValueError("LongLabels: classes is not set; set it, or data.classes, to the class names in order")

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._check_classes()
        path = confined(root, self.csv)
        rows = read_csv(path)
        lacking = [column for column in (self.id_column, self.value_column) if column not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        ids, values = rows[self.id_column], rows[self.value_column]
        found: dict[str, np.ndarray] = {}
        for place, name in enumerate(self.classes):
            ending = self.separator + name
            # A longer class name may have the same ending.
            longer = tuple(self.separator + other for other in self.classes if other != name and other.endswith(ending))
            mine = ids.str.endswith(ending) & ~(ids.str.endswith(longer) if longer else False)
            for number, key, value in zip(rows.index[mine], ids[mine], values[mine], strict=True):
                if value not in ("0", "1"):
                    raise ValueError(f"{path}, row {number + 2}: {key!r} is {value!r}, expected 0 or 1")
                labels = found.setdefault(key.removesuffix(ending), np.full(len(self.classes), np.nan, np.float32))
                if not np.isnan(labels[place]) and labels[place] != float(value):
                    raise ValueError(f"{path}, row {number + 2}: {key!r} is {value}, but an earlier row differs")
                labels[place] = float(value)
        where = f"{path}, column {self.id_column} without the class"
        names = match_images(found, table, root, where, every=True)
        self.values = {image_id: found[name] for name, image_id in names.items()}
        missing = [image_id for image_id in table["image_id"] if np.isnan(self.values[image_id]).any()]
        if missing:
            labels = self.values[missing[0]]
            lacks = [name for name, value in zip(self.classes, labels, strict=True) if np.isnan(value)]
            raise ValueError(
                f"{path} lacks labels of {len(missing)} images; the first is {missing[0]!r}: {', '.join(lacks)}"
            )

    def files(self, row: Row) -> list[Path]:
        return [confined(self.root, self.csv)]

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {self.name: self.values[row.image_id]}
