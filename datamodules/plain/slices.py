"""Slices of volumes as image files in folders, described by their paths."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.table import not_found, sorted_by_id
from files.paths import confined
from preprocessing.series import gaps


class SliceData(BaseData):
    """Images whose id is assembled from their path: UW-Madison's
    `case123/case123_day20/scans/slice_0001_266_266_1.50_1.50.png` is `case123_day20_slice_0001`.

    Other parts of the path (the case for the folds, the pixel spacing as a feature) are columns of the table. With
    `datamodules.readers.StackReader`, the neighbours of a slice are its channels; gaps in the slice numbers raise a
    warning.

    The other arguments are those of `BaseData`.

    Args:
        path_pattern: regular expression that matches the end of every path, with named groups; each is a column.
        ids: template of the image id, with groups in braces: `{case}_{day}_slice_{slice}`. The group `slice` is the
            slice number in its volume; the rest of the id names the volume.
    """

    def __init__(self, *args: Any, path_pattern: str, ids: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path_pattern, self.ids = path_pattern, ids
        lacking = sorted(set(re.findall(r"\{(\w*)\}", ids)) - set(re.compile(path_pattern).groupindex))
        if lacking:
            raise ValueError(f"data.ids is {ids!r}, but {lacking} are not groups of data.path_pattern")

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        confined(root, pattern)
        rows = []
        for path in sorted(path for path in Path(root).glob(pattern) if path.is_file()):
            found = re.search(f"(?:{self.path_pattern})$", path.as_posix())
            if found is None:
                raise ValueError(f"data.path_pattern {self.path_pattern!r} does not match {path}")
            parts = found.groupdict()
            image_id = self.ids.format(**parts)
            row = {"image_id": image_id, "path": str(path), "weight": 1.0, "source": source, "folder": path.parent.name}
            rows.append(row | parts)
        if not rows:
            raise not_found(root, pattern)
        table = sorted_by_id(pd.DataFrame(rows), cure="; check data.ids")
        if hasattr(self.reader, "neighbours"):
            table["slices"] = self._neighbours(table)
        return table

    def _neighbours(self, table: pd.DataFrame) -> list[list[str]]:
        """Return the files of the slices around each one, from low to high, with the ends repeated."""
        if "slice" not in table:
            raise ValueError("data.path_pattern has no group `slice`, needed to find the neighbours of a slice")
        wrong = table[~table["slice"].fillna("").str.fullmatch(r"\d+")]
        if len(wrong):
            raise ValueError(
                f"{wrong['path'].iloc[0]}: group `slice` of data.path_pattern is {wrong['slice'].iloc[0]!r}, "
                "expected a number"
            )
        columns = re.findall(r"\{(\w*)\}", self.ids)
        volumes = [self.ids.format(**row | {"slice": ""}) for row in table[columns].to_dict("records")]
        numbers, paths = table["slice"].astype(int).to_numpy(), table["path"].to_numpy()
        offsets = np.arange(-self.reader.neighbours, self.reader.neighbours + 1) * self.reader.stride
        found: list[list[str]] = [[] for _ in volumes]
        uneven = []
        for members in pd.Series(volumes).groupby(volumes, sort=False).indices.values():
            order = members[np.argsort(numbers[members], kind="stable")]
            inside = numbers[order]
            twice = np.flatnonzero(np.diff(inside) == 0)
            if len(twice):
                one, other = paths[order[twice[0] : twice[0] + 2]]
                raise ValueError(f"two files of one volume have slice number {inside[twice[0]]}: {one} and {other}")
            uneven += [f"{paths[order[g.after]]} is followed by {inside[g.after + 1]}" for g in gaps(inside)]
            for rank, member in enumerate(order):
                found[member] = paths[order[np.clip(rank + offsets, 0, len(order) - 1)]].tolist()
        if uneven and self.reader.neighbours:
            listed = "; ".join(uneven[:3]) + (" …" if len(uneven) > 3 else "")
            warnings.warn(
                f"reader.neighbours: {len(uneven)} gaps in the slice numbers; neighbours are further apart there: "
                f"{listed}",
                stacklevel=2,
            )
        return found
