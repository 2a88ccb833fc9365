"""Masks in GeoTIFF files, read by windows."""

from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers.base import ImageReadError
from datamodules.readers.geotiff import HANDLES
from datamodules.readers.geotiff_data import alpha_bands, data_mask, held
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.mask_files import WHITE, ClassNumbers, as_numbers, as_target


class RasterMasks(ClassNumbers):
    """`mask` from a raster on the image's grid, or on any other grid of the map (warped, nearest neighbour), and
    `valid` if some pixels are void.

    Void are pixels of the `ignore` value; pixels marked as no data by the raster's mask, alpha, NaN, or a nodata value
    that is not a class (0 is a class, so it stays background whatever the file's tag); and image pixels outside the
    raster.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `mask/mask_{image_id}.tif`, `*/mask/mask_{image_id}.tif`.
        name: name of the array.
        classes: number of classes, or their names, for class numbers 0 … classes − 1: `(H, W)` int64, 255 for void
            pixels (default: `data.classes`). None for binary masks (0 and one other value): `(1, H, W)` uint8.
        ignore: value of void pixels (Sen1Floods11: −1); None if every value is a class, as in binary masks of 0 and
            255.
        band: number of the band, from 1.
    """

    windowed = True

    def __init__(
        self,
        pattern: str,
        name: str = "mask",
        classes: int | list[str] | None = None,
        ignore: int | None = 255,
        band: int = 1,
    ) -> None:
        self.pattern, self.name, self.classes, self.ignore, self.band = pattern, name, classes, ignore, band

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        found, void = self._pixels(row, path, tuple(size))
        return as_target(as_numbers(found, path, self.class_count, self.ignore, void=void), self.name, self.class_count)

    def _pixels(self, row: Row, path: Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of the raster, and where they are void."""
        from rasterio.enums import Resampling
        from rasterio.errors import RasterioError
        from rasterio.vrt import WarpedVRT
        from rasterio.windows import Window

        image, source = georeference(row), HANDLES.open(path)
        if source.count < self.band:
            raise ImageReadError(f"mask {path} has {source.count} bands, but target.band is {self.band}")
        compression = compression_of(source, path)
        if compression is not None:
            raise ImageReadError(
                f"mask {path} is compressed by {compression}, which changes its values; save it with DEFLATE or LZW"
            )
        top, left, height, width = getattr(row, "window", (0, 0, *size))
        place = Window(left, top, width, height)
        try:
            if (source.height, source.width) == image.shape and (
                source.crs is None or image.crs is None or same_grid(source, image)
            ):
                return self._read(source, source, place)
            if source.crs is None or image.crs is None:
                raise ImageReadError(
                    f"mask {path} is {(source.height, source.width)}, its image {row.image_id!r} is {image.shape}, and "
                    "they cannot be aligned as one has no reference system"
                )
            if apart(source, image):
                raise ImageReadError(f"mask {path} does not overlap its image {row.image_id!r} on the map")
            with WarpedVRT(
                source,
                crs=image.crs,
                transform=image.transform,
                width=image.width,
                height=image.height,
                resampling=Resampling.nearest,
                # Nodata is a normal value unless it is known not to be a class; alpha marks the extent of the raster.
                src_nodata=None,
                nodata=None,
                add_alpha=not alpha_bands(source, [], "tagged"),
            ) as warped:
                return self._read(warped, source, place)
        except RasterioError as error:
            raise ImageReadError(f"mask {path}, window {place}: {error.__cause__ or error}") from error

    def _read(self, raster: Any, source: Any, place: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of a raster (the source, maybe warped), and where they are void."""
        found = raster.read(self.band, window=place)
        data = data_mask(raster, [self.band], place, found.shape)
        void = np.zeros(found.shape, bool) if data is None else ~data
        if found.dtype.kind == "f":
            void |= np.isnan(found)
        nodata = held(source.nodatavals[self.band - 1], found.dtype)
        if nodata is not None and not self._is_class(float(nodata)):
            void |= found == nodata
        return found, void

    def _is_class(self, value: float) -> bool:
        if self.class_count is not None:
            return 0 <= value < self.class_count
        return value in (0, 1) or (self.ignore is None and value in WHITE)


def compression_of(source: Any, path: Path) -> str | None:
    """Return the name of a raster's lossy compression; None if the values are as saved."""
    facts = source.tags(ns="IMAGE_STRUCTURE")
    if float(facts.get("MAX_Z_ERROR", 0)) > 0:
        return f"LERC with an error of {facts['MAX_Z_ERROR']}"
    kind = f"{facts.get('COMPRESSION', '')} {source.driver}".upper()
    return lossy(path) if any(word in kind for word in ("JP", "WEBP", "JXL", "AVIF")) else None


def apart(one: Any, other: Any) -> bool:
    """Return whether the bounding boxes of two rasters do not overlap on the map."""
    from rasterio.warp import transform_bounds

    boxes = []
    for raster in (one, other):
        a, b, c, d, e, f = raster.transform[:6]
        corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, raster.width) for y in (0, raster.height)]
        boxes.append((*np.min(corners, axis=0), *np.max(corners, axis=0)))
    if one.crs != other.crs:
        boxes[0] = transform_bounds(one.crs, other.crs, *boxes[0])
    first, second = boxes
    return first[0] >= second[2] or second[0] >= first[2] or first[1] >= second[3] or second[1] >= first[3]


def georeference(row: Row) -> Any:
    """Return the open image file of a row, with its `crs`, `transform` and `shape`."""
    path = str(row.path)
    if "{band}" not in path:
        return HANDLES.open(path)
    before, after = path.split("{band}")[0], path.rsplit("{band}")[-1]
    parent = Path(before).parent
    found = next((file for file in sorted(parent.glob(f"*/*{after}")) if file.is_file()), None)
    if found is None:
        raise ImageReadError(f"{path} does not exist for any band")
    return HANDLES.open(found)


def same_grid(one: Any, other: Any) -> bool:
    """Return whether two rasters of one size have the same grid (to a tenth of a pixel)."""
    if one.crs != other.crs:
        return False
    tolerance = 0.1 * max(abs(other.transform.a), abs(other.transform.b))
    a, b, c, d, e, f = (abs(x - y) for x, y in zip(one.transform[:6], other.transform[:6], strict=True))
    # At the far corner, where the difference is largest.
    return max(a * one.width + b * one.height + c, d * one.width + e * one.height + f) <= tolerance
