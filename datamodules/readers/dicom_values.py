"""Conversion of stored DICOM values: to modality values such as Hounsfield units, to displayed values, to colour."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datamodules.readers.dicom_elements import element_of, lookup_table, number_of, padding_value
from datamodules.readers.dicom_errors import wrong
from preprocessing.hounsfield import AIR, lookup, padding_mask, to_bits, to_hu, window

if TYPE_CHECKING:
    from pydicom import Dataset

COMMON_PADDING = (-2000,)  # padding of many CTs that do not declare it; only possible in signed data


def modality_values(
    dataset: "Dataset", stored: np.ndarray, path: Path | str, frame: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Apply the modality LUT (or slope and intercept); returns float32 `(H, W)` and the mask of padding.

    Raises:
        DicomReadError: if the slope, intercept or table is empty or invalid.
    """
    padding = padding_of(dataset, stored, frame)
    if dataset.get("ModalityLUTSequence"):
        first, table, _ = lookup_table(dataset, "ModalityLUTSequence", path)
        return lookup(stored, first, table), padding
    slope, intercept = (number_of(dataset, keyword, path, frame) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise wrong(path, "RescaleSlope", slope, "every pixel would be the same; use output: raw, or remove the file")
    return to_hu(stored, 1.0 if slope is None else slope, intercept or 0.0), padding


def padding_of(dataset: "Dataset", stored: np.ndarray, frame: int = 0) -> np.ndarray | None:
    """Return the mask of padding in stored values `(H, W)`, bool; None if there is none."""
    ends = [element_of(dataset, keyword, frame) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    also = COMMON_PADDING if dataset.get("Modality") == "CT" else ()
    return padding_mask(stored, *(padding_value(end) for end in ends), also=also)


def fill_padding(dataset: "Dataset", values: np.ndarray, padding: np.ndarray | None) -> None:
    """Fill padding: with air in CT, in other modalities with the smallest measured value.

    Only Hounsfield units have a value of air; in other modalities the smallest value is the image's black (0 if a frame
    has only padding).

    Args:
        dataset: data set of the file.
        values: modality values of a frame `(H, W)`; modified in place.
        padding: mask of padding, `(H, W)` bool; None if there is none.
    """
    if padding is None:
        return
    measured = values[~padding]
    ct = dataset.get("Modality") == "CT"
    values[padding] = AIR if ct else (measured.min() if measured.size else 0.0)


def voi(
    dataset: "Dataset",
    values: np.ndarray,
    stored: np.ndarray,
    padding: np.ndarray | None,
    path: Path | str,
    frame: int = 0,
) -> np.ndarray:
    """Apply the file's VOI LUT or first window to modality values; returns shares 0 … 1, before any inversion.

    A look-up table takes precedence over a window, as in pydicom. Without both: see `DicomReader`.

    Raises:
        DicomReadError: if a window has width 0 or is incomplete, or a table is invalid.
    """
    if dataset.get("VOILUTSequence"):
        first, table, bits = lookup_table(dataset, "VOILUTSequence", path)
        return lookup(np.rint(values), first, table) / np.float32((1 << bits) - 1)
    centre, width = (number_of(dataset, keyword, path, frame) for keyword in ("WindowCenter", "WindowWidth"))
    if (centre is None) != (width is None):
        raise wrong(path, "WindowWidth", width, f"WindowCenter is {centre}; a window needs both, set reader.windows")
    if centre is not None:
        function = str(element_of(dataset, "VOILUTFunction", frame) or "LINEAR").upper()
        if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise wrong(path, "VOILUTFunction", function, "expected LINEAR, LINEAR_EXACT or SIGMOID")
        try:
            return window(values, centre, width, 0, function)
        except ValueError as error:
            raise wrong(path, "WindowWidth", width, f"{error}; set reader.windows") from error
    if stored.dtype == np.uint8:
        return stored.astype(np.float32) / np.float32((1 << min(int(dataset.get("BitsStored") or 8), 8)) - 1)
    counted = values[np.isfinite(values)] if padding is None else values[~padding & np.isfinite(values)]
    if not counted.size or counted.min() == counted.max():
        return np.zeros(values.shape, np.float32)
    share = (values - counted.min()) / (counted.max() - counted.min())
    return np.clip(np.nan_to_num(share, nan=0.0), 0, 1)


def colour_values(dataset: "Dataset", stored: np.ndarray, bits: int) -> np.ndarray:
    """Convert stored values to RGB `(H, W, 3)` of 8 or 16 bits; a palette is resolved."""
    from pydicom.pixels import apply_color_lut

    deep = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
        deep = stored.dtype.itemsize * 8
    if (deep, bits) in ((8, 8), (16, 16)) and stored.dtype.itemsize * 8 == bits:
        return np.array(stored, order="C")
    return to_bits(np.clip(stored / np.float64((1 << deep) - 1), 0, 1).astype(np.float32), bits)


def compact(dataset: "Dataset", values: np.ndarray) -> np.ndarray:
    """Convert modality values of CT to int16, sufficient for any scanner; others stay float32."""
    if dataset.get("Modality") != "CT":
        return values
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)
