"""The slices of a DICOM series as one volume."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.readers.dicom_elements import frame_count, number_of, place_of, spacing_of
from datamodules.readers.dicom_errors import DicomReadError, explained, wrong
from datamodules.readers.dicom_files import read_dataset
from datamodules.readers.dicom_pixels import stored_values
from datamodules.readers.dicom_values import compact, fill_padding, modality_values
from preprocessing.series import common_orientation, gaps, on_each_other, slice_places, stack_affine


def read_series(files: Sequence[Path | str]) -> tuple[np.ndarray, np.ndarray]:
    """Read the slices of one series as a volume in Hounsfield units (modality values), with its affine.

    Files may be in any order; all frames of a multi-frame file are used. Slices are sorted along their normal. Missing
    slices and uneven gaps raise a warning, and the affine uses the mean step.

    Args:
        files: DICOM files of one series.

    Returns:
        Volume `(D, H, W)`, int16 for CT and float32 for other modalities, and the affine `(4, 4)` float64 from voxel
        (slice, row, column) to world millimetres in RAS.

    Raises:
        DicomReadError: if a file cannot be read, has no position in space, or does not belong to the series (another
            size, another orientation, the same position as another slice).
    """
    if not len(files):
        raise DicomReadError("the series has no files")
    found = []
    for path in files:
        dataset = read_dataset(path)
        with explained(path):
            for frame in range(frame_count(dataset, path)):
                stored = stored_values(dataset, path, frame)
                if stored.ndim == 3:
                    raise wrong(path, "SamplesPerPixel", 3, "expected 1, as a volume has one value per voxel")
                values, padding = modality_values(dataset, stored, path, frame)
                fill_padding(dataset, values, padding)
                position, orientation = place_of(dataset, path, frame)
                found.append((path, frame, position, orientation, spacing_of(dataset, path, frame), values, dataset))
                # The data sets are kept for their headers; compressed pixels are deleted.
            for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
                if name in dataset:
                    del dataset[name]
    first = found[0]
    for path, _, _, _, spacing, values, _ in found:
        if values.shape != first[5].shape or not np.allclose(spacing, first[4], rtol=1e-3):
            raise DicomReadError(
                f"{path}: {values.shape} pixels of {spacing} mm in a series of {first[5].shape} pixels of {first[4]} "
                f"mm ({first[0]}); use the files of one series",
                path,
            )
    try:
        orientation = common_orientation([entry[3] for entry in found])
    except ValueError as error:
        raise DicomReadError(f"{first[0]} and the files with it: {error}; use the files of one series") from error
    places = slice_places(np.array([entry[2] for entry in found]), orientation)
    order = np.argsort(places, kind="stable")
    twice = on_each_other(places)
    if twice is not None:
        one, other = (found[index] for index in twice)
        raise DicomReadError(
            f"{one[0]} (frame {one[1]}) and {other[0]} (frame {other[1]}) have the same position {one[2].tolist()}; "
            "use the files of one series and one time",
            one[0],
            "ImagePositionPatient",
            one[2].tolist(),
        )
    for gap in gaps(places[order]):
        warnings.warn(f"series of {found[order[gap.after]][0]}: {gap}", stacklevel=2)
    ct = all(entry[6].get("Modality") == "CT" for entry in found)
    volume = np.empty((len(found), *first[5].shape), np.int16 if ct else np.float32)
    for index, number in enumerate(order):
        volume[index] = compact(found[number][6], found[number][5])
    thickness = number_of(first[6], "SpacingBetweenSlices", first[0], 0) or number_of(
        first[6], "SliceThickness", first[0], first[1]
    )
    positions = np.array([found[number][2] for number in order])
    return volume, stack_affine(positions, orientation, first[4], abs(thickness) if thickness else 1.0)
