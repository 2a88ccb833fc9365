"""Which pixels of a raster hold data: nodata values, internal masks, alpha."""

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Alpha = int | Literal["tagged", "none"]
REACH = {"nearest": 0, "bilinear": 1, "cubic": 2}  # pixels from which a resampled one is made, in those of the coarser


def held(value: float | None, dtype: Any) -> np.generic | None:
    """A value in a type, rounded as the type rounds it (−3.4e38 is no float32); None where the type cannot hold it.

    Such a value, −9999 of bytes, stands for nothing there. NaN and infinity are no data anyway.
    """
    dtype = np.dtype(dtype)
    if value is None or not np.isfinite(value):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(int(value)) if value == int(value) and limits.min <= value <= limits.max else None
    with np.errstate(over="ignore"):
        rounded = dtype.type(value)
    return rounded if np.isfinite(rounded) else None


def alpha_bands(source: "DatasetReader", numbers: list[int], alpha: Alpha) -> list[int]:
    """The bands that are 0 where a raster holds no data.

    Args:
        source: the open raster.
        numbers: of the bands that are read as pixels. A tagged band among them is data: NAIP's near infrared is tagged
            so.
        alpha: `tagged`, `none`, or the number of the band.
    """
    if alpha == "none":
        return []
    if alpha != "tagged":
        return [alpha]
    tagged = [n for n, colour in zip(source.indexes, source.colorinterp, strict=True) if colour.name == "alpha"]
    return [] if set(tagged) & set(numbers) else tagged


def has_internal_mask(source: "DatasetReader", number: int) -> bool:
    """Whether a raster has a mask of its own beside its bands, internal or in a `.msk` file; alpha is none."""
    flags = {flag.name for flag in source.mask_flag_enums[number - 1]}
    return "per_dataset" in flags and "alpha" not in flags


def data_mask(
    source: "DatasetReader", numbers: list[int], place: Any, size: tuple[int, int], alpha: Alpha = "tagged"
) -> np.ndarray | None:
    """Where a raster's own mask and alpha say that it holds data: bool `size`; None where it has neither.

    Args:
        source: the open raster.
        numbers: of the bands that are read as pixels.
        place: the window to read.
        size: of the result; the nearest pixel is taken.
        alpha: see `alpha_bands`.
    """
    parts = []
    if has_internal_mask(source, numbers[0]):
        parts.append(source.read_masks(numbers[0], window=place, out_shape=size) > 0)
    for number in alpha_bands(source, numbers, alpha):
        parts.append(source.read(number, window=place, out_shape=size) > 0)
    return np.logical_and.reduce(parts) if parts else None


def resampled_data(known: np.ndarray, size: tuple[int, int], resampling: str) -> np.ndarray:
    """Which pixels of a resampled band are made of data alone.

    Args:
        known: bool `(h, w)`, where the band's own pixels are data.
        size: `(H, W)` after resampling.
        resampling: `nearest`, `bilinear` or `cubic`.
    """
    reach = [int(np.ceil(REACH[resampling] * max(1.0, old / new))) for old, new in zip(known.shape, size, strict=True)]
    lacking = cv2.dilate((~known).astype(np.uint8), np.ones([2 * side + 1 for side in reach], np.uint8))
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(known.shape, size, strict=True))
    return lacking[np.ix_(rows, columns)] == 0
