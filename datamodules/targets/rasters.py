"""Masks in GeoTIFF files, read by windows."""

import glob
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.readers.base import ImageReadError
from datamodules.readers.geotiff import HANDLES
from datamodules.targets.base import Target, missing_files
from datamodules.targets.mask_files import as_mask
from preprocessing.files import confined

IGNORED = 255  # the class number that losses and metrics leave out


class RasterMasks(Target):
    """`mask` from a raster on the image's grid, or on any other grid of the map (then warped, nearest neighbour).

    Args:
        pattern: path under `data.root` with `{image_id}` in it: `mask/mask_{image_id}.tif`; `*` may stand for a folder.
        name: name of the array.
        classes: None for binary masks (0 and one other value) → `(1, H, W)` uint8; a number for class numbers 0 …
            classes − 1 → `(H, W)` int64, ignored pixels 255.
        ignore: value of pixels that do not count (Sen1Floods11 has −1); they are left out by `valid` too.
        band: number of the band, from 1.
    """

    windowed = True

    def __init__(
        self, pattern: str, name: str = "mask", classes: int | None = None, ignore: int = 255, band: int = 1
    ) -> None:
        self.pattern, self.name, self.classes, self.ignore, self.band = pattern, name, classes, ignore, band

    def _path(self, image_id: str) -> Path:
        path = confined(self.root, self.pattern.replace("{image_id}", image_id))
        if "*" not in self.pattern:
            return path
        # Masks of several folders: the author's training and validation sides.
        found = sorted(self.root.glob(self.pattern.replace("{image_id}", glob.escape(image_id))))
        if len(found) > 1:
            raise ValueError(f"image {image_id!r} has {len(found)} masks: {found[0]}, {found[1]}")
        return found[0] if found else path

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        missing_files({image_id: self._path(image_id) for image_id in table["image_id"]}, "mask")

    def files(self, row: Any) -> list[Path]:
        return [self._path(row.image_id)]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self._path(row.image_id)
        values = self._values(row, path, tuple(size))
        ignored = values == self.ignore
        mask = as_mask(np.where(ignored, 0, values), path, self.classes)
        if not ignored.any():
            return {self.name: mask}
        if self.classes is not None:
            mask = np.where(ignored, IGNORED, mask)
        return {self.name: mask, "valid": ~ignored}

    def _values(self, row: Any, path: Path, size: tuple[int, int]) -> np.ndarray:
        from rasterio.enums import Resampling
        from rasterio.errors import RasterioError
        from rasterio.vrt import WarpedVRT
        from rasterio.windows import Window

        image, source = georeference(row), HANDLES.open(path)
        top, left, height, width = getattr(row, "window", (0, 0, *size))
        place = Window(left, top, width, height)
        try:
            if (source.height, source.width) == image.shape and (
                source.crs is None or image.crs is None or same_grid(source, image)
            ):
                return source.read(self.band, window=place)
            if source.crs is None or image.crs is None:
                raise ImageReadError(
                    f"mask {path} is {(source.height, source.width)}, its image {row.image_id!r} is {image.shape}, and "
                    "without a place on the map they cannot be laid upon each other"
                )
            nodata = self.ignore if np.can_cast(np.min_scalar_type(self.ignore), source.dtypes[0]) else 0
            with WarpedVRT(
                source,
                crs=image.crs,
                transform=image.transform,
                width=image.width,
                height=image.height,
                resampling=Resampling.nearest,
                nodata=nodata,
            ) as warped:
                return warped.read(self.band, window=place)
        except RasterioError as error:
            raise ImageReadError(f"mask {path}, window {place}: {error.__cause__ or error}") from error


def georeference(row: Any) -> Any:
    """The open file that lies behind a row: its `crs`, `transform` and `shape`."""
    path = str(row.path)
    if "{band}" not in path:
        return HANDLES.open(path)
    before, after = path.split("{band}")[0], path.rsplit("{band}")[-1]
    parent = Path(before).parent
    found = next((file for file in sorted(parent.glob(f"*/*{after}")) if file.is_file()), None)
    if found is None:
        raise ImageReadError(f"no file of any band of {path}")
    return HANDLES.open(found)


def same_grid(one: Any, other: Any) -> bool:
    """Whether two rasters of one size lie pixel on pixel (to a tenth of one)."""
    if one.crs != other.crs:
        return False
    tolerance = 0.1 * max(abs(other.transform.a), abs(other.transform.b))
    a, b, c, d, e, f = (abs(x - y) for x, y in zip(one.transform[:6], other.transform[:6], strict=True))
    # Of the far corner, which is off by most.
    return max(a * one.width + b * one.height + c, d * one.width + e * one.height + f) <= tolerance
