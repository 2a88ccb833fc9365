"""Masks from DICOM Segmentation objects."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from datamodules.readers.dicom_elements import element_of, frame_count, place_of
from datamodules.readers.dicom_errors import DicomReadError
from datamodules.readers.dicom_files import read_dataset, read_header
from datamodules.readers.dicom_pixels import stored_values
from datamodules.row import Row, columns_of
from datamodules.table import rows_of
from datamodules.targets.base import Target
from datamodules.targets.patterns import expansions
from files.paths import confined
from preprocessing.series import slice_normal

NEAR = 0.05  # mm; maximum distance between a frame and its slice


class Plane(NamedTuple):
    """A pixel grid in space."""

    position: np.ndarray  # of the first pixel's centre, mm, LPS
    orientation: np.ndarray  # six direction cosines: along a row, along a column
    spacing: tuple[float, float]  # mm between rows, between columns
    size: tuple[int, int]  # rows, columns


class DicomSegmentations(Target):
    """Masks from DICOM SEG files, whose frames are matched to images by their position in space.

    Frames may be in any order; slices without a frame have an empty mask. Binary, fractional (thresholded at half) and
    label-map segmentations are supported. The grid must be that of the image.

    Args:
        pattern: SEG files under `data.root`; column names and `{split}` in braces are as of `MaskFiles`
            (`segs/{SeriesInstanceUID}.dcm`, `{PatientID}/seg/*.dcm`). Several files are merged.
        classes: numbers or labels of the segments to read, in this order; a list entry merges several segments into
            one class (default: all segments of a file, by number; every file must then have the same).
        as_index: whether to return class numbers `(H, W)` int64, 0 for none and 1 … for the classes (later ones win),
            instead of `(K, H, W)` uint8, where classes may overlap.
        name: name of the array.
        missing: handling of images without a file: `error`, or `empty` masks.
    """

    def __init__(
        self,
        pattern: str,
        classes: list[int | str | list[int | str]] | None = None,
        as_index: bool = False,
        name: str = "mask",
        missing: Literal["error", "empty"] = "error",
    ) -> None:
        if missing == "empty" and classes is None:
            raise ValueError("DicomSegmentations: missing: empty needs classes, as images without a file have none")
        self.pattern, self.classes, self.as_index, self.name, self.missing = pattern, classes, as_index, name, missing

    def take_classes(self, names: list[str] | None) -> None:
        check_count(names, self.classes, self.as_index, f"DicomSegmentations: classes is {self.classes}")
        self._names = names

    def class_names(self, root: Path) -> list[str] | None:
        return self._names or (None if self.as_index or self.classes is None else joined_names(self.classes))

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        rows = rows_of(table)
        without = [row.image_id for row in rows if not self._paths(row)]
        if without and self.missing == "error":
            raise FileNotFoundError(
                f"{len(without)} images have no segmentation {self.pattern!r}; the first is {without[0]!r}. If these "
                "images have no segments, set missing: empty"
            )
        numbers: dict[str, tuple[int, ...]] = {}
        for path in sorted({str(path) for row in rows for path in self._paths(row)}):
            numbers[path] = tuple(segments_of(path))
            self._channels(path)
        if self.classes is None and len(set(numbers.values())) > 1:
            (one, first), (other, second) = list({found: path for path, found in numbers.items()}.items())[:2]
            raise ValueError(f"{first} has the segments {one}, but {second} has {other}; set classes")

    def files(self, row: Row) -> list[Path]:
        return self._paths(row)

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        paths = [str(path) for path in self._paths(row)]
        count = (
            len(self.classes) if self.classes is not None else max(1, *(len(segments_of(path)) for path in paths), 0)
        )
        masks = np.zeros((count, *size), np.uint8)
        plane = plane_of(read_header(row.path), row.path, int(getattr(row, "frame", 0))) if paths else None
        for path in paths:
            channels = self._channels(path)
            for segment, pixels in masks_on(path, plane, row.path):
                for index in channels.get(segment, ()):
                    masks[index] |= pixels
        if not self.as_index:
            return {self.name: masks}
        index = np.zeros(size, np.int64)
        for number, mask in enumerate(masks, 1):
            index[mask > 0] = number
        return {self.name: index}

    def _paths(self, row: Row) -> list[Path]:
        return files_of(self.root, self.pattern, row)

    def _channels(self, path: str) -> dict[int, list[int]]:
        """Return the channels of each segment number; a class missing in this file stays empty."""
        segments = segments_of(path)
        if self.classes is None:
            return {number: [index] for index, number in enumerate(segments)}
        known = {str(number): number for number in segments} | {label: number for number, label in segments.items()}
        channels: dict[int, list[int]] = {}
        for index, entry in enumerate(self.classes):
            for wanted in entry if isinstance(entry, list) else [entry]:
                if str(wanted) in known:
                    channels.setdefault(known[str(wanted)], []).append(index)
        if not channels:
            raise ValueError(f"{path} has none of the classes {self.classes}, only the segments {segments}")
        return channels


def files_of(root: Path, pattern: str, row: Row) -> list[Path]:
    """Return the files under the root that match a pattern for a row (see `datamodules.targets.patterns`).

    Raises:
        ValueError: if the table has no such column, or the path leads out of the root.
    """
    names = expansions(root, pattern, columns_of(row), escape=True)
    for name in names:
        confined(root, name)
    return sorted({path for name in names for path in Path(root).glob(name) if path.is_file()})


def check_count(names: list[str] | None, entries: list | None, background: bool, what: str) -> None:
    """Check that `data.classes` has a name for each class read from a file, and for the background of class numbers.

    Args:
        names: `data.classes`, or None.
        entries: what is read from the files, an entry per class; None if it is unknown.
        background: whether class 0 is the background.
        what: what the target is set to, for the error.

    Raises:
        ValueError: if their number differs.
    """
    if names is not None and entries is not None and len(names) != len(entries) + background:
        with_0 = " and class 0" if background else ""
        raise ValueError(f"{what}{with_0}, but data.classes is {names} ({len(names)} classes); make them equally many")


def joined_names(entries: list[int | str | list[int | str]]) -> list[str]:
    """Return a name for each class read from a file: its number or label there, joined by `+` if it merges several."""
    return ["+".join(map(str, entry)) if isinstance(entry, list) else str(entry) for entry in entries]


@lru_cache(maxsize=256)
def segments_of(path: str) -> dict[int, str]:
    """Return the label of each segment number of a SEG file, sorted by number.

    Raises:
        DicomReadError: if the file is not a segmentation.
    """
    header = read_header(path)
    items = header.get("SegmentSequence")
    if not items:
        raise DicomReadError(f"{path}: SegmentSequence is {items!r}; the file is not a DICOM segmentation", path)
    found = {int(item.get("SegmentNumber")): str(item.get("SegmentLabel") or "") for item in items}
    if header.get("SegmentationType") == "LABELMAP":
        found.pop(0, None)  # the background of a label map is listed too
    return dict(sorted(found.items()))


@lru_cache(maxsize=8)
def _segmentation(path: str) -> tuple[Any, list[tuple[int, Plane]], Any]:
    """Return the file, segment number (0: a label map) and plane of each frame, cached for the slices of a series."""
    dataset = read_dataset(path)
    frames = []
    for frame in range(frame_count(dataset, path)):
        groups = (dataset.get("PerFrameFunctionalGroupsSequence") or [None] * (frame + 1))[frame]
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        number = 0
        for group in (shared, groups):
            for item in (group.get("SegmentIdentificationSequence") if group is not None else None) or []:
                number = int(item.ReferencedSegmentNumber)
        frames.append((number, plane_of(dataset, path, frame)))
    return dataset, frames, dataset.get("SegmentationType")


def masks_on(path: str, plane: Plane, image: Path | str) -> list[tuple[int, np.ndarray]]:
    """Return segment number and uint8 mask `(H, W)` of every frame of a SEG file on the plane of an image.

    Args:
        path: SEG file.
        plane: plane of the image.
        image: file of the image, for errors.

    Raises:
        DicomReadError: if a frame at this position has another grid.
    """
    dataset, frames, kind = _segmentation(path)
    normal, found = slice_normal(plane.orientation), []
    for frame, (number, other) in enumerate(frames):
        if (
            abs(slice_normal(other.orientation) @ normal) < 0.999
            or abs((other.position - plane.position) @ normal) > NEAR
        ):
            continue
        same = (
            other.size == plane.size
            and np.allclose(other.orientation, plane.orientation, atol=1e-3)
            and np.allclose(other.spacing, plane.spacing, rtol=1e-3)
            and np.abs(other.position - plane.position).max() <= max(NEAR, 0.1 * min(plane.spacing))
        )
        if not same:
            raise DicomReadError(
                f"{path}, frame {frame}, has another grid than {image}: {other} instead of {plane}; resample it first",
                path,
            )
        pixels = stored_values(dataset, path, frame)
        if kind == "LABELMAP":
            labels = [int(label) for label in np.unique(pixels) if int(label) in segments_of(path)]
            found += [(label, (pixels == label).astype(np.uint8)) for label in labels]
        else:
            half = float(dataset.get("MaximumFractionalValue") or 255) / 2 if kind == "FRACTIONAL" else 0.5
            found.append((number, (pixels >= half).astype(np.uint8)))
    return found


def plane_of(dataset: Any, path: Path | str, frame: int = 0) -> Plane:
    """Return the pixel grid of a frame.

    Raises:
        DicomReadError: if the file does not define it.
    """
    position, orientation = place_of(dataset, path, frame)
    try:
        rows, columns = (float(number) for number in element_of(dataset, "PixelSpacing", frame))
        return Plane(position, orientation, (rows, columns), (int(dataset.Rows), int(dataset.Columns)))
    except (TypeError, ValueError, AttributeError) as error:
        raise DicomReadError(f"{path}: PixelSpacing, Rows or Columns are missing: {error}", path) from error
