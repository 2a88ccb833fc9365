"""LUNA16: lung CTs with nodules as points in world millimetres."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.external.base import ExternalData
from datamodules.readers import Reader, VolumeReader
from datamodules.row import Row
from datamodules.table import find_images
from datamodules.targets import Target
from files.tables import read_csv
from preprocessing.series import voxel_of


class Luna16(ExternalData):
    """CTs of LUNA16 with their annotated nodules (Setio et al., Medical Image Analysis 2017).

    Each row has the columns `nodules`, a JSON list of `[x, y, z, diameter]` in millimetres as in the CSVs, and
    `candidates`, of `[x, y, z, class]`. Scans without nodules have rows too.

    Args:
        root: folder with `subset*/<seriesuid>.mhd`, annotations.csv and candidates.csv (or candidates_V2.csv).
        weight: weight of each sample in the loss.
        images: glob of the scans under the root.
        source: name of the data set.
        reader: image reader (default: the config's).
        targets: targets (default: `Nodules`).
    """

    def __init__(
        self,
        root: str,
        weight: float = 1.0,
        images: str = "subset*/*.mhd",
        source: str = "luna16",
        reader: Reader | None = None,
        targets: list[Target] | None = None,
    ) -> None:
        super().__init__(root, weight, source, reader, [Nodules()] if targets is None else targets)
        self.images = images

    def table(self) -> pd.DataFrame:
        scans = find_images(self.root, self.images)
        nodules = self._points(self.file("annotations.csv"), "diameter_mm", set(scans["image_id"]))
        candidates: dict[str, list] = {}
        for name in ("candidates_V2.csv", "candidates.csv"):
            if (Path(self.root) / name).is_file():
                candidates = self._points(Path(self.root) / name, "class", set(scans["image_id"]))
                break
        ids = scans["image_id"]
        texts = {"nodules": nodules, "candidates": candidates}
        return self.named(
            scans.assign(
                **{key: [json.dumps(found.get(image_id, [])) for image_id in ids] for key, found in texts.items()}
            )
        )

    def _points(self, path: Path, value: str, known: set[str]) -> dict[str, list[list[float]]]:
        rows = read_csv(path)
        wanted = ["seriesuid", "coordX", "coordY", "coordZ", value]
        lacking = [name for name in wanted if name not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        if not set(rows["seriesuid"]) & known:
            warnings.warn(
                f"{path}: none of its {len(rows)} points is in one of the {len(known)} scans; the first is in "
                f"{next(iter(rows['seriesuid']), 'no scan')!r}",
                stacklevel=3,
            )
        found: dict[str, list[list[float]]] = {}
        for number, (uid, *texts) in enumerate(rows[wanted].itertuples(index=False, name=None), 2):
            try:
                point = [float(text) for text in texts]
            except ValueError:
                raise ValueError(f"{path}, row {number}: {texts}, expected numbers") from None
            if uid in known:  # often only some subsets are on disk
                found.setdefault(uid, []).append(point)
        return found


class Nodules(Target):
    """Balls with the diameters of the nodules, from the row's column: `(1, D, H, W)` uint8.

    Args:
        column: column of the JSON list of `[x, y, z, diameter]` in millimetres.
        name: name of the array.
    """

    def __init__(self, column: str = "nodules", name: str = "mask") -> None:
        self.column, self.name = column, name
        self._reader: VolumeReader | None = None

    def follow(self, reader: VolumeReader) -> None:
        self._reader = reader

    def read(self, row: Row, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        if self._reader is None:
            raise ValueError("Nodules does not know the image reader; use datamodules.VolumeDataModule")
        grid_size, affine = self._reader.grid(row)
        if tuple(grid_size) != tuple(size):
            raise ValueError(f"scan {row.image_id!r} is {tuple(size)}, but its grid is {tuple(grid_size)}")
        mask = np.zeros(size, np.uint8)
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        for *point, diameter in json.loads(getattr(row, self.column)):
            centre = voxel_of(np.array(point), affine)
            reach = diameter / 2 / steps
            low = np.clip(np.floor(centre - reach), 0, np.array(size)).astype(int)
            high = np.clip(np.ceil(centre + reach) + 1, 0, np.array(size)).astype(int)
            axes = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
            apart = sum(((axis - c) * step) ** 2 for axis, c, step in zip(axes, centre, steps, strict=True))
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            mask[box] |= (apart <= (diameter / 2) ** 2).astype(np.uint8)
        return {self.name: mask[None]}
