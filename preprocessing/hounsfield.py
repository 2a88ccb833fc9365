"""Hounsfield units and windows of CT."""

from typing import Literal

import numpy as np

AIR = -1000.0  # HU; what lies outside the scanner's circle is taken for air

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
    # What the public solutions of RSNA 2019 (intracranial haemorrhage) put beside `brain`:
    "subdural": (80.0, 200.0),
    "brain_soft_tissue": (40.0, 380.0),
    # RSNA 2020 (pulmonary embolism), 1st place: this one, lung, and (40, 400).
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
    """Hounsfield units of stored values: `stored * slope + intercept`, padding as air.

    Args:
        stored: integers of any type and shape.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        padding: bool, of the shape of `stored`: pixels that were never measured (`padding_mask`).
        air: what those become, in HU.

    Returns:
        float32 of the shape of `stored`; exact up to 2**24.

    Raises:
        ValueError: a slope of 0, or numbers that are not finite.
    """
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise ValueError(f"slope {slope} and intercept {intercept} give no Hounsfield units")
    # float32 keeps every 16-bit integer; the product of deep data needs more before it is rounded.
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
    """Values of a modality look-up table, float32 (PS3.3 C.11.1.1): what lies outside gets its first or last entry.

    Args:
        stored: integers of any shape.
        first: the stored value that maps to the first entry.
        table: entries.
    """
    return table[np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)].astype(np.float32)


def padding_mask(
    stored: np.ndarray, value: int | None, limit: int | None = None, also: tuple[int, ...] = ()
) -> np.ndarray | None:
    """Where stored values are padding; None where none is.

    A value that was written with the wrong sign (63536 for −2000 in signed data) is understood.

    Args:
        stored: stored integers, before slope and intercept.
        value: PixelPaddingValue.
        limit: PixelPaddingRangeLimit: all values from `value` to it, in either direction, are padding.
        also: further values that mean padding; many CTs are filled with −2000 and do not say so.
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
    """Centre and width of a window by name.

    Raises:
        ValueError: lists the known names.
    """
    if name not in WINDOWS:
        raise ValueError(f"no window {name!r}; known are {', '.join(WINDOWS)}, or give [centre, width]")
    return WINDOWS[name]


def window(
    values: np.ndarray,
    centre: float,
    width: float,
    bits: Literal[0, 8, 16] = 0,
    function: WindowFunction = "LINEAR_EXACT",
) -> np.ndarray:
    """Values between the ends of a window, spread over the output; what lies outside is clipped.

    Args:
        values: HU, any shape.
        centre: middle of the window.
        width: its width, above 0; 1 and more for `LINEAR`.
        bits: 0 for float32 in 0 … 1; 8 for uint8 0 … 255, 16 for uint16 0 … 65535, rounded.
        function: of PS3.3 C.11.2.1: `LINEAR_EXACT` goes from centre − width / 2 to centre + width / 2, which is what
            people mean by a window; `LINEAR`, the default of DICOM files, is half a value off so that width counts
            integer values; `SIGMOID` has soft ends.

    Raises:
        ValueError: a width that is no width.
    """
    least = 1.0 if function == "LINEAR" else 0.0
    if not (np.isfinite(centre) and np.isfinite(width)) or width < least or width <= 0:
        raise ValueError(
            f"window centre {centre}, width {width}: {function} wants a width {'>= 1' if least else '> 0'}"
        )
    values = values.astype(np.float32, copy=False)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):  # exp of far outside is infinite, and 1 / (1 + inf) is the 0 that is meant
            share = 1.0 / (1.0 + np.exp(-4.0 * (values - np.float32(centre)) / np.float32(width)))
    elif function == "LINEAR" and width == 1:
        share = (values > centre - 0.5).astype(np.float32)
    else:
        low, span = (centre - 0.5 - (width - 1) / 2, width - 1) if function == "LINEAR" else (centre - width / 2, width)
        share = values - np.float32(low)  # one new array: large ones cost more to get than to fill
        share /= np.float32(span)
        np.clip(share, 0, 1, out=share)
    return to_bits(share, bits)


def to_bits(share: np.ndarray, bits: Literal[0, 8, 16]) -> np.ndarray:
    """Shares 0 … 1 as float32 (`bits` 0), uint8 or uint16, rounded to the nearest; float32 shares are written over."""
    share = share.astype(np.float32, copy=False)
    if bits == 0:
        return share
    kind = {8: np.uint8, 16: np.uint16}[bits]
    share *= np.float32(np.iinfo(kind).max)
    share += np.float32(0.5)
    return share.astype(kind)
