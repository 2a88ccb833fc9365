"""Valid pixels of a raster: nodata values, internal masks, alpha."""

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Alpha = int | Literal["tagged", "none"]
REACH = {"nearest": 0, "bilinear": 1, "cubic": 2}  # radius of the resampling filter, in pixels of the coarser grid


def held(value: float | None, dtype: Any) -> np.generic | None:
    """Convert a value to a type, rounded like the type (−3.4e38 is not exact in float32); None if not representable.

    Such a nodata value, −9999 in bytes, has no effect. NaN and infinity are always no data.
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
    """Return the bands that are 0 for pixels without data.

    Args:
        source: open raster.
        numbers: numbers of the bands read as pixels. A tagged band among them is data, like NAIP's near infrared.
        alpha: `tagged`, `none`, or a band number.
    """
    if alpha == "none":
        return []
    if alpha != "tagged":
        return [alpha]
    tagged = [n for n, colour in zip(source.indexes, source.colorinterp, strict=True) if colour.name == "alpha"]
    return [] if set(tagged) & set(numbers) else tagged


def has_internal_mask(source: "DatasetReader", number: int) -> bool:
    """Return whether a raster has its own mask besides its bands, internal or in a `.msk` file; alpha is not one."""
    flags = {flag.name for flag in source.mask_flag_enums[number - 1]}
    return "per_dataset" in flags and "alpha" not in flags


def data_mask(
    source: "DatasetReader", numbers: list[int], place: Any, size: tuple[int, int], alpha: Alpha = "tagged"
) -> np.ndarray | None:
    """Return where a raster has data by its mask and alpha: bool of shape `size`; None if it has neither.

    Args:
        source: open raster.
        numbers: numbers of the bands read as pixels.
        place: window to read.
        size: shape of the result (nearest neighbour).
        alpha: see `alpha_bands`.
    """
    parts = []
    if has_internal_mask(source, numbers[0]):
        parts.append(source.read_masks(numbers[0], window=place, out_shape=size) > 0)
    for number in alpha_bands(source, numbers, alpha):
        parts.append(source.read(number, window=place, out_shape=size) > 0)
    return np.logical_and.reduce(parts) if parts else None


def resampled_data(known: np.ndarray, size: tuple[int, int], resampling: str) -> np.ndarray:
    """Return which pixels of a resampled band are computed only from data.

    Args:
        known: bool `(h, w)`, True for data in the original band.
        size: `(H, W)` after resampling.
        resampling: `nearest`, `bilinear` or `cubic`.
    """
    reach = [int(np.ceil(REACH[resampling] * max(1.0, old / new))) for old, new in zip(known.shape, size, strict=True)]
    lacking = cv2.dilate((~known).astype(np.uint8), np.ones([2 * side + 1 for side in reach], np.uint8))
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(known.shape, size, strict=True))
    return lacking[np.ix_(rows, columns)] == 0
