"""Satellite and aerial images: GeoTIFF scenes of any size, bands and type."""

from typing import Any

import numpy as np
import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.geotiff import BAND, HANDLES, GeoTiffReader
from datamodules.table import find_channels, find_images, rows_of
from evaluation.cross_validation import CrossValidation
from files.paths import confined
from preprocessing.duplicates import connected_groups


class SatelliteData(BaseData):
    """GeoTIFF files matched by a glob, read by windows, with folds that follow the map.

    `{band}` in a pattern stands for one file per band: `train_{band}/{band}_patch_*.TIF` with the reader's bands
    `[red, green, blue, nir]`. For `cv.group: place`, images that touch or overlap on the ground share a group. For
    `cv.group: block`, the map is divided into squares.

    The other arguments are those of `BaseData`.

    Args:
        extra: additional files of each image under `root`, with `{image_id}` in the path, such as a panchromatic image
            or more bands. They are resampled to the image's grid and their bands are appended.
        block: side of the squares of `cv.group: block`, in units of the images' coordinates (metres in UTM). An image
            belongs to the square of its centre.
    """

    default_reader = GeoTiffReader

    def __init__(self, *args: Any, extra: list[str] | None = None, block: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra, self.block = extra or [], block

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        if BAND in pattern:
            bands = getattr(self.reader, "bands", None)
            if not bands:
                raise ValueError(f"{pattern} has one file per band; name the bands in data.reader.bands")
            table = find_channels(root, pattern, BAND, [str(band) for band in bands], source)
        else:
            table = find_images(root, pattern, source)
        if self.extra:
            table["extra"] = [self._extra(root, image_id) for image_id in table["image_id"]]
        return table

    def _extra(self, root: str, image_id: str) -> list[str]:
        paths = [confined(root, pattern.replace("{image_id}", image_id)) for pattern in self.extra]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"image {image_id!r} has no file {missing[0]}; check data.extra")
        return [str(path) for path in paths]

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        table = super().fold_table(cv)
        groups = [cv.group] if isinstance(cv.group, str) else list(cv.group or [])
        if "place" in groups:
            table["place"] = touching(self._footprints(table))
        if "block" in groups:
            if self.block is None:
                raise ValueError("cv.group is block, but the side of the squares is not set; set data.block")
            table["block"] = [
                f"{crs} {int((left + right) / 2 // self.block)} {int((bottom + top) / 2 // self.block)}"
                for crs, left, bottom, right, top, _ in self._footprints(table)
            ]
        return table

    def _footprints(self, table: pd.DataFrame) -> list[tuple[str, float, float, float, float, float]]:
        """Return reference system, left, bottom, right, top and pixel size of every image, from its header."""
        footprints = []
        for row in rows_of(table):
            path = str(self.reader.files(row)[0])
            source = HANDLES.open(path)
            if source.crs is None and source.transform.is_identity:
                raise ValueError(f"{path} has no georeference (no transform), so folds cannot follow the map")
            left, bottom, right, top = source.bounds
            footprints.append((str(source.crs), left, min(bottom, top), right, max(bottom, top), source.res[0]))
        return footprints

    def leaks(self, table: pd.DataFrame) -> list[str]:
        footprints = self._footprints(table)
        pairs = [pair for pair in neighbours(footprints) if table["given"].iloc[[*pair]].nunique() > 1]
        touch = [f"{len(pairs)} pairs of touching images are on different sides"] if pairs else []
        return [*super().leaks(table), *touch]

    def prepare_targets(self) -> None:
        super().prepare_targets()
        HANDLES.close()  # GDAL handles must not be shared with forked loader processes


def neighbours(footprints: list[tuple[str, float, float, float, float, float]]) -> list[tuple[int, int]]:
    """Return pairs of images with the same reference system whose footprints touch or overlap (within half a pixel)."""
    pairs = []
    systems: dict[str, list[int]] = {}
    for index, footprint in enumerate(footprints):
        systems.setdefault(footprint[0], []).append(index)
    for members in systems.values():
        boxes = np.array([footprints[index][1:] for index in members])
        order = np.argsort(boxes[:, 0])
        for place, one in enumerate(order):
            slack = boxes[one, 4] / 2
            for other in order[place + 1 :]:
                if boxes[other, 0] > boxes[one, 2] + slack:
                    break  # sorted by their left side: no later one touches
                if boxes[other, 1] <= boxes[one, 3] + slack and boxes[other, 3] >= boxes[one, 1] - slack:
                    pairs.append(tuple(sorted((members[one], members[other]))))
    return sorted(pairs)


def touching(footprints: list[tuple[str, float, float, float, float, float]]) -> list[str]:
    """Return a group name per image; images that touch, directly or through others, share it."""
    return [str(group) for group in connected_groups(len(footprints), neighbours(footprints))]
