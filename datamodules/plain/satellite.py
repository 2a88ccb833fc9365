"""Satellite and aerial images: GeoTIFF scenes of any size, bands and type."""

from typing import Any

import numpy as np
import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.geotiff import BAND, HANDLES, GeoTiffReader
from datamodules.table import find_channels, find_images, rows_of
from evaluation.cross_validation import CrossValidation
from evaluation.folds import join_groups
from files.paths import confined


class SatelliteData(BaseData):
    """GeoTIFF files found by glob patterns, read by windows, with folds that follow the map.

    `{band}` in a pattern stands for one file per band: `train_{band}/{band}_patch_*.TIF` with the reader's bands
    `[red, green, blue, nir]`. Every row has a `place` for the folds (`cv.group: place`): images that touch or overlap
    each other on the ground share it. `cv.group: block` divides the map into squares instead.

    The other arguments are those of its base.

    Args:
        extra: further files of each image under `root`, with `{image_id}` in the path: a panchromatic picture, more
            bands; they are resampled onto the image's grid and their bands come behind its own.
        block: side of the squares of `cv.group: block`, in units of the images' coordinates (metres in UTM). The square
            of an image is that of its centre.
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
            raise FileNotFoundError(f"image {image_id!r} has no {missing[0]}; check data.extra")
        return [str(path) for path in paths]

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        table = super().fold_table(cv)
        groups = [cv.group] if isinstance(cv.group, str) else list(cv.group or [])
        if "place" in groups:
            table["place"] = touching(self._footprints(table))
        if "block" in groups:
            if self.block is None:
                raise ValueError("cv.group is block, but data.block does not say how large its squares are")
            table["block"] = [
                f"{crs} {int((left + right) / 2 // self.block)} {int((bottom + top) / 2 // self.block)}"
                for crs, left, bottom, right, top, _ in self._footprints(table)
            ]
        return table

    def _footprints(self, table: pd.DataFrame) -> list[tuple[str, float, float, float, float, float]]:
        """Reference system, left, bottom, right, top and pixel size of every image, from its header."""
        footprints = []
        for row in rows_of(table):
            path = str(self.reader.files(row)[0])
            source = HANDLES.open(path)
            if source.crs is None and source.transform.is_identity:
                raise ValueError(f"{path} has no place on the map (no transform), so folds cannot follow it")
            left, bottom, right, top = source.bounds
            footprints.append((str(source.crs), left, min(bottom, top), right, max(bottom, top), source.res[0]))
        return footprints

    def leaks(self, table: pd.DataFrame) -> list[str]:
        footprints = self._footprints(table)
        pairs = [pair for pair in neighbours(footprints) if table["given"].iloc[[*pair]].nunique() > 1]
        touch = [f"{len(pairs)} pairs of images that touch lie on different sides"] if pairs else []
        return [*super().leaks(table), *touch]

    def prepare_targets(self) -> None:
        super().prepare_targets()
        HANDLES.close()  # GDAL's handles must not cross the fork of the loader's workers


def neighbours(footprints: list[tuple[str, float, float, float, float, float]]) -> list[tuple[int, int]]:
    """Pairs of images of one reference system whose footprints touch or overlap (within half a pixel)."""
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
                    break  # sorted by their left side: none further on touches
                if boxes[other, 1] <= boxes[one, 3] + slack and boxes[other, 3] >= boxes[one, 1] - slack:
                    pairs.append(tuple(sorted((members[one], members[other]))))
    return sorted(pairs)


def touching(footprints: list[tuple[str, float, float, float, float, float]]) -> list[str]:
    """A name per image such that images which touch, also through others, share it."""
    edges = pd.DataFrame({"image_id": [str(index) for index in range(len(footprints))]})
    for number, (one, other) in enumerate(neighbours(footprints)):
        column = [f"-{index}" for index in range(len(footprints))]
        column[one] = column[other] = "together"
        edges[number] = column
    return join_groups(edges, [column for column in edges if column != "image_id"]).tolist()
