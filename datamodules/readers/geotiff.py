"""GeoTIFF and other GDAL rasters: any number of bands of any type, whole or by windows."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from datamodules.readers.base import ImageReadError, Pixels, Reader
from datamodules.readers.geotiff_data import Alpha, alpha_bands, data_mask, has_internal_mask, held, resampled_data
from datamodules.row import Row
from datamodules.windows import with_window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

BAND = "{band}"
STRIP = 16_000_000  # pixels that `known` reads at a time
TRIES = 3  # network file systems may fail temporarily


def import_rasterio() -> Any:
    """Import rasterio, or raise an error that says how to install it."""
    try:
        import rasterio
    except ImportError as error:
        raise ImportError('GeoTIFF files need rasterio: pip install -e ".[satellite]"') from error
    return rasterio


class Handles:
    """Open files, per process; opening takes as long as reading a window or two.

    Args:
        limit: maximum number of open files; the least recently used one is closed.
    """

    def __init__(self, limit: int = 128) -> None:
        self.limit, self.process = limit, os.getpid()
        self.files: OrderedDict[str, Any] = OrderedDict()

    def open(self, path: Path | str) -> "DatasetReader":
        """Return the open file; GDAL handles must not be shared after a fork, so a new process reopens files."""
        if self.process != os.getpid():
            self.files, self.process = OrderedDict(), os.getpid()
        key = str(path)
        if key not in self.files:
            self.files[key] = _open(key)
            if len(self.files) > self.limit:
                self.files.popitem(last=False)[1].close()
        self.files.move_to_end(key)
        return self.files[key]

    def close(self) -> None:
        """Close all files, so that they can be replaced or deleted."""
        while self.files:
            self.files.popitem()[1].close()


HANDLES = Handles()


def _open(path: str) -> "DatasetReader":
    rasterio = import_rasterio()
    if not Path(path).is_file():
        raise ImageReadError(f"{path} does not exist")
    if Path(path).stat().st_size == 0:
        raise ImageReadError(f"{path} is empty (0 bytes)")
    try:
        source = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise ImageReadError(f"{path} is not a raster that GDAL can open: {error}") from error
    refusal = None
    if any(str(kind).startswith("complex") for kind in source.dtypes):
        refusal = "contains complex numbers; save their magnitude to a file first"
    elif len(source.subdatasets) > 1:  # pages of a TIFF, variables of a NetCDF file: GDAL opens only the first, or none
        one = source.subdatasets[0]
        refusal = f"contains {len(source.subdatasets)} rasters; save one to its own file: gdal_translate {one} a.tif"
    if refusal is not None:
        source.close()
        raise ImageReadError(f"{path} {refusal}")
    return source


class GeoTiffReader(Reader):
    """Reads bands of a raster in their own type; pixels without data are set to `fill` and void.

    A path with `{band}` stands for one file per band (38-Cloud). Files in the row's `extra` (a panchromatic image for a
    multispectral one, DSTL's sixteen bands) are appended to the bands of the main file, resampled to its grid; sizes
    may differ.

    Args:
        bands: band numbers from 1, or names: a colour (`red`, `nir`, as tagged in the file) or a band's description
            (default: all bands). With `{band}` in the path, the names in its place.
        nodata: nodata value, instead of the file's own, in every file (`extra`, bands) whose type can represent it (so
            −9999 has no effect in bytes, as a file's own value neither). NaN and infinity are always no data.
        fill: value of pixels without data.
        valid: whether a pixel is valid if `any` band has data (like GDAL's dataset mask) or only if `all` have.
        resampling: resampling of `extra` files of another size: `nearest`, `bilinear` or `cubic`.
        max_pixels: maximum number of pixels read at once; larger images are read by windows (`data.windows`, inference
            tiles).
        alpha: band that is 0 for pixels without data. `tagged`: the band tagged as alpha, unless it is among the bands
            read. A band number: that band, not read as a channel unless in `bands`. `none`: no band, if the tag is
            wrong (NAIP's near infrared is tagged so, and is data if it is read).
    """

    windowed = True

    def __init__(
        self,
        bands: list[int | str] | None = None,
        nodata: float | None = None,
        fill: float = 0.0,
        valid: Literal["any", "all"] = "any",
        resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear",
        max_pixels: int = 300_000_000,
        alpha: int | Literal["tagged", "none"] = "tagged",
    ) -> None:
        self.bands, self.nodata, self.fill, self.valid = bands, nodata, fill, valid
        self.resampling, self.max_pixels, self.alpha = resampling, max_pixels, alpha

    def read(self, row: Row) -> np.ndarray:
        return self.read_with_valid(row)[0]

    def size(self, row: Row) -> tuple[int, int]:
        main = HANDLES.open(self._paths(row)[0])
        return main.height, main.width

    def pixels(self, row: Row) -> Pixels:
        paths, kinds = self._paths(row), []
        for path in (*paths, *getattr(row, "extra", ())):
            source = HANDLES.open(path)
            numbers = self._numbers(source) if self._is_main(path, paths) else source.indexes
            kinds += [source.dtypes[number - 1] for number in numbers]
        return Pixels(np.result_type(*kinds).name, len(kinds))

    def files(self, row: Row) -> list[Path | str]:
        return [*self._paths(row), *getattr(row, "extra", ())]

    def _paths(self, row: Row) -> list[str]:
        """Return one path, or one per band; the first defines the grid."""
        path = str(row.path)
        if BAND not in path:
            return [path]
        if not self.bands:
            raise ValueError(f"{path} is one file per band; set their names in reader.bands: [red, green, blue, nir]")
        if isinstance(self.alpha, int):
            raise ValueError(f"{path} is one file per band, so reader.alpha {self.alpha} has no effect; remove it")
        paths = [path.replace(BAND, str(band)) for band in self.bands]
        missing = [band for band, file in zip(self.bands, paths, strict=True) if not Path(file).is_file()]
        if missing:
            raise ImageReadError(f"image {row.image_id!r}: no file for band {', '.join(map(str, missing))} of {path}")
        return paths

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        """Return `(H, W, C)` of the row's window, or of the whole file, and its valid pixels.

        Parts of a window outside the file are set to `fill` and void.

        Raises:
            ImageReadError: if a file cannot be read; names file and window.
        """
        paths = self._paths(row)
        main = HANDLES.open(paths[0])
        top, left, height, width = getattr(row, "window", (0, 0, main.height, main.width))
        over = [(max(0, -top), max(0, top + height - main.height)), (max(0, -left), max(0, left + width - main.width))]
        if sum(map(sum, over)):  # rasterio would stretch the rest to the requested size
            rest = (top + over[0][0], left + over[1][0], height - sum(over[0]), width - sum(over[1]))
            if min(rest[2:]) < 1:
                raise ImageReadError(
                    f"{paths[0]} is {main.height} x {main.width} pixels, the window {row.window} (top, left, height, "
                    "width) is outside of it"
                )
            image, valid = self.read_with_valid(with_window(row, rest))
            valid = np.ones(image.shape[:2], bool) if valid is None else valid
            return np.pad(image, [*over, (0, 0)], constant_values=self._filling(image, paths[0])), np.pad(valid, over)
        if height * width > self.max_pixels:
            raise ImageReadError(
                f"{paths[0]} is {height} x {width} pixels, more than reader.max_pixels {self.max_pixels}; read it by "
                "windows (data.windows) or raise the limit"
            )
        window = (top / main.height, left / main.width, height / main.height, width / main.width)
        parts, known = [], []
        for path in (*paths, *getattr(row, "extra", ())):
            source = HANDLES.open(path)
            first = self._is_main(path, paths)
            numbers = self._numbers(source) if first else list(source.indexes)
            pixels = self._pixels(source, numbers, window, (height, width))
            parts.append(pixels)
            known.append(self._known(source, numbers, pixels, window, (height, width), first))
        image = np.concatenate(parts).transpose(1, 2, 0) if len(parts) > 1 else parts[0].transpose(1, 2, 0)
        if all(part is None for part in known):
            return image, None
        counted = np.concatenate(
            [np.ones(pixels.shape, bool) if part is None else part for pixels, part in zip(parts, known, strict=True)]
        )
        if counted.all():
            return image, None
        image = np.where(counted.transpose(1, 2, 0), image, self._filling(image, paths[0]))
        return image, counted.any(0) if self.valid == "any" else counted.all(0)

    def known(self, row: Row) -> np.ndarray | None:
        """Return the valid pixels of the row's window, or of a file of any size; reads pixels only if necessary."""
        paths = self._paths(row)
        sources = {path: HANDLES.open(path) for path in (*paths, *getattr(row, "extra", ()))}
        lacking = any(self._may_lack(source, self._is_main(path, paths)) for path, source in sources.items())
        sides = self.size(row)
        top, left, height, width = getattr(row, "window", (0, 0, *sides))
        inside = min(top, left) >= 0 and top + height <= sides[0] and left + width <= sides[1]
        if not lacking and inside:
            return None
        if not inside:
            return self.read_with_valid(row)[1]
        step = max(1, STRIP // width)
        strips = []
        for first in range(0, height, step):
            part = (top + first, left, min(step, height - first), width)
            strips.append((part[2:], self.read_with_valid(with_window(row, part))[1]))
        if all(valid is None for _, valid in strips):
            return None
        return np.concatenate([np.ones(size, bool) if valid is None else valid for size, valid in strips])

    def _is_main(self, path: str, paths: list[str]) -> bool:
        return len(paths) == 1 and path == paths[0]

    def _may_lack(self, source: "DatasetReader", main: bool) -> bool:
        """Return whether some pixels of a file may be no data, by its header."""
        numbers = self._numbers(source) if main else list(source.indexes)
        if np.dtype(source.dtypes[0]).kind == "f" or has_internal_mask(source, numbers[0]):
            return True
        values = [self._nodata(source, number) for number in numbers]
        return any(value is not None for value in values) or bool(alpha_bands(source, numbers, self._alpha(main)))

    def _alpha(self, main: bool) -> Alpha:
        # A band number refers to the main file.
        return self.alpha if main or isinstance(self.alpha, str) else "tagged"

    def _nodata(self, source: "DatasetReader", number: int) -> np.generic | None:
        """Return the nodata value of a band, in its own type."""
        value, dtype = held(self.nodata, source.dtypes[number - 1]), source.dtypes[number - 1]
        return held(source.nodatavals[number - 1], dtype) if value is None else value

    def _filling(self, image: np.ndarray, path: str) -> np.generic:
        """Return `fill` in the image's type.

        Raises:
            ValueError: if the type cannot represent it.
        """
        if image.dtype.kind == "f":
            return image.dtype.type(self.fill)
        value = held(self.fill, image.dtype)
        if value is None:
            raise ValueError(
                f"{path} is {image.dtype}, which cannot represent reader.fill {self.fill}; set another value, such as 0"
            )
        return value

    def _numbers(self, source: "DatasetReader") -> list[int]:
        """Return the band numbers of the selected bands."""
        if isinstance(self.alpha, int) and self.alpha not in source.indexes:
            raise ImageReadError(f"{source.name} has no band {self.alpha}, only {source.count}; check reader.alpha")
        if self.bands is None:
            return [number for number in source.indexes if number != self.alpha]
        names = {}
        for number, colour, text in zip(source.indexes, source.colorinterp, source.descriptions, strict=True):
            names.setdefault(colour.name.lower(), number)
            if text:
                names[text.lower()] = number
        numbers = []
        for band in self.bands:
            number = names.get(str(band).lower()) if isinstance(band, str) and not band.isdigit() else int(band)
            if number is None or number not in source.indexes:
                raise ImageReadError(
                    f"{source.name} has no band {band!r}: {source.count} bands, {', '.join(names)}; set reader.bands"
                )
            numbers.append(number)
        return numbers

    def _place(self, source: "DatasetReader", share: tuple[float, ...]) -> Any:
        # The same part of the image in a file of any size; whole pixels if possible, despite rounding errors.
        from rasterio.windows import Window

        numbers = (
            share[1] * source.width,
            share[0] * source.height,
            share[3] * source.width,
            share[2] * source.height,
        )
        return Window(*(round(number) if abs(number - round(number)) < 1e-6 else number for number in numbers))

    def _pixels(self, source: Any, numbers: list[int], share: tuple, size: tuple[int, int]) -> np.ndarray:
        from rasterio.enums import Resampling

        place = self._place(source, share)
        return _reading(
            source,
            place,
            lambda: source.read(
                numbers, window=place, out_shape=(len(numbers), *size), resampling=Resampling[self.resampling]
            ),
        )

    def _known(
        self, source: Any, numbers: list[int], pixels: np.ndarray, share: tuple, size: tuple[int, int], main: bool
    ) -> np.ndarray | None:
        """Return where the pixels are data, bool `(C, H, W)`; None if the file has only data."""
        place = self._place(source, share)
        nodata = [self._nodata(source, number) for number in numbers]
        own = _reading(source, place, lambda: data_mask(source, numbers, place, size, self._alpha(main)))
        if pixels.dtype.kind != "f" and own is None and all(value is None for value in nodata):
            return None
        known = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
        for index, (number, value) in enumerate(zip(numbers, nodata, strict=True)):
            if value is None:
                continue
            known[index] &= pixels[index] != value
            # GDAL skips its own nodata when resampling, but does not know the reader's.
            if (round(place.height), round(place.width)) != size and value != held(
                source.nodatavals[number - 1], value.dtype
            ):
                band = _reading(source, place, lambda number=number: source.read(number, window=place))
                known[index] &= resampled_data(band != value, size, self.resampling)
        return known if own is None else known & own


def _reading(source: Any, place: Any, read: Any) -> np.ndarray:
    """Call `read`, with retries; the last error names file and window."""
    from rasterio.errors import RasterioError

    for attempt in range(TRIES):
        try:
            return read()
        except (RasterioError, ValueError) as error:
            if attempt == TRIES - 1:
                cause = error.__cause__ or error
                raise ImageReadError(
                    f"{source.name}, columns {place.col_off:g} to {place.col_off + place.width:g}, rows "
                    f"{place.row_off:g} to {place.row_off + place.height:g}: {cause}"
                ) from error
    raise AssertionError("unreachable")
