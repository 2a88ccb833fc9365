"""Hounsfield units and CT windows."""

from typing import Literal

import numpy as np

AIR = -1000.0  # HU; value of pixels outside the scanner's circle

WINDOWS: dict[str, tuple[float, float]] = {
    # Centre and width in HU. Murphy and Baxter, "Windowing (CT)", radiopaedia.org/articles/windowing-ct:
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "soft_tissue": (50.0, 400.0),  # abdomen
    "liver": (30.0, 150.0),
    "bone": (400.0, 1800.0),
    "temporal_bone": (600.0, 2800.0),
    "spine": (50.0, 250.0),
    "brain": (40.0, 80.0),
    "stroke": (32.0, 8.0),
    # Used with `brain` in the public solutions of RSNA 2019 (intracranial haemorrhage):
    "subdural": (80.0, 200.0),
    "brain_soft_tissue": (40.0, 380.0),
    # RSNA 2020 (pulmonary embolism), 1st place: this window, lung, and (40, 400).
    "embolism": (100.0, 700.0),
    # LUNA16 and Data Science Bowl 2017, 1st place (grt123): clip to [-1200, 600].
    "nodule": (-300.0, 1800.0),
}
"""Names of windows, each `(centre, width)` in HU."""

WindowFunction = Literal["LINEAR_EXACT", "LINEAR", "SIGMOID"]


def to_hu(
    stored: np.ndarray,
    slope: float = 1.0,
    intercept: float = 0.0,
    padding: np.ndarray | None = None,
    air: float = AIR,
) -> np.ndarray:
    """Convert stored values to Hounsfield units: `stored * slope + intercept`, padding as air.

    Args:
        stored: integers of any type and shape.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        padding: bool mask of pixels without a measurement, in the shape of `stored` (`padding_mask`).
        air: value of padding in HU.

    Returns:
        float32 in the shape of `stored`; exact up to 2**24.

    Raises:
        ValueError: if the slope is 0, or slope or intercept are not finite.
    """
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise ValueError(
            f"RescaleSlope is {slope}, RescaleIntercept is {intercept}; expected finite numbers, slope not 0"
        )
    # float32 represents all 16-bit integers exactly; wider integers need float64 for the product.
    wide = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    values = stored.astype(wide)
    if slope != 1:
        values *= wide(slope)
    if intercept != 0:
        values += wide(intercept)
    values = values.astype(np.float32, copy=False)
    if padding is not None:
        values[padding] = air
    return values


def lookup(stored: np.ndarray, first: int, table: np.ndarray) -> np.ndarray:
    """Apply a modality look-up table (PS3.3 C.11.1.1); values outside get its first or last entry, as float32.

    Args:
        stored: integers of any shape.
        first: stored value of the first entry.
        table: entries of the table.
    """
    return table[np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)].astype(np.float32)


def padding_mask(
    stored: np.ndarray, value: int | None, limit: int | None = None, also: tuple[int, ...] = ()
) -> np.ndarray | None:
    """Return a mask of padding pixels, or None if there are none.

    Values written with the wrong sign (63536 for −2000 in signed data) are recognised.

    Args:
        stored: stored integers, before slope and intercept.
        value: PixelPaddingValue.
        limit: PixelPaddingRangeLimit; all values between `value` and `limit`, in either order, are padding.
        also: further padding values; many CTs are padded with −2000 without declaring it.
    """
    if not np.issubdtype(stored.dtype, np.integer):
        return None
    mask = np.zeros(stored.shape, bool)
    facts = np.iinfo(stored.dtype)
    span = 1 << facts.bits

    def wrapped(number: int) -> int:
        return number if facts.min <= number <= facts.max else (number - facts.min) % span + facts.min

    if value is not None:
        ends = sorted((wrapped(int(value)), wrapped(int(value if limit is None else limit))))
        mask |= (stored >= ends[0]) & (stored <= ends[1])
    for number in also:
        if facts.min <= number <= facts.max:
            mask |= stored == number
    return mask if mask.any() else None


def named_window(name: str) -> tuple[float, float]:
    """Return centre and width of a named window.

    Raises:
        ValueError: if the name is unknown; lists the known names.
    """
    if name not in WINDOWS:
        raise ValueError(f"unknown window {name!r}, expected one of {', '.join(WINDOWS)}, or [centre, width]")
    return WINDOWS[name]


def window(
    values: np.ndarray,
    centre: float,
    width: float,
    bits: Literal[0, 8, 16] = 0,
    function: WindowFunction = "LINEAR_EXACT",
) -> np.ndarray:
    """Scale the values of a window to the range of the output and clip values outside.

    Args:
        values: HU, any shape.
        centre: centre of the window in HU.
        width: width of the window in HU, above 0; at least 1 for `LINEAR`.
        bits: 0 for float32 in 0 … 1; 8 for uint8 0 … 255, 16 for uint16 0 … 65535, rounded.
        function: VOI LUT function of PS3.3 C.11.2.1: `LINEAR_EXACT` ranges from centre − width / 2 to centre +
            width / 2, the usual meaning of a window; `LINEAR`, the default of DICOM files, is shifted by half a value
            so that width counts integer values; `SIGMOID` has smooth ends.

    Raises:
        ValueError: if centre or width are not finite, or the width is too small.
    """
    min_width = 1.0 if function == "LINEAR" else 0.0
    if not (np.isfinite(centre) and np.isfinite(width)) or width < min_width or width <= 0:
        raise ValueError(
            f"window centre is {centre}, width is {width}; {function} needs a width {'>= 1' if min_width else '> 0'}"
        )
    values = values.astype(np.float32, copy=False)
    if function == "SIGMOID":
        with np.errstate(
            over="ignore"
        ):  # exp overflows to inf far outside the window, and 1 / (1 + inf) is the correct 0
            share = 1.0 / (1.0 + np.exp(-4.0 * (values - np.float32(centre)) / np.float32(width)))
    elif function == "LINEAR" and width == 1:
        share = (values > centre - 0.5).astype(np.float32)
    else:
        low, span = (centre - 0.5 - (width - 1) / 2, width - 1) if function == "LINEAR" else (centre - width / 2, width)
        share = values - np.float32(low)  # a single new array: allocating large ones is slow
        share /= np.float32(span)
        np.clip(share, 0, 1, out=share)
    return to_bits(share, bits)


def to_bits(share: np.ndarray, bits: Literal[0, 8, 16]) -> np.ndarray:
    """Convert shares 0 … 1 to float32 (`bits` 0), uint8 or uint16, rounded to nearest; overwrites float32 input."""
    share = share.astype(np.float32, copy=False)
    if bits == 0:
        return share
    kind = {8: np.uint8, 16: np.uint16}[bits]
    share *= np.float32(np.iinfo(kind).max)
    share += np.float32(0.5)
    return share.astype(kind)
