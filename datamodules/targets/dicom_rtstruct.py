"""Masks from the contours of DICOM radiotherapy structure sets."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from datamodules.readers.dicom_errors import DicomReadError
from datamodules.readers.dicom_files import read_header
from datamodules.row import Row
from datamodules.table import rows_of
from datamodules.targets.base import Target
from datamodules.targets.dicom_seg import Plane, check_count, files_of, joined_names, plane_of
from masks.polygons import filled
from preprocessing.series import slice_normal


class RtStructures(Target):
    """Masks from the contours of DICOM RTSTRUCT files, filled on the image on which they were drawn.

    A pixel belongs to a structure if its centre is inside an odd number of the structure's contours on that slice, so a
    contour within another is a hole, or if it is on a contour: writers such as rt-utils trace the pixels of a mask
    through their centres. Contours of one or two points draw their pixels (`masks.polygons.filled`, contour included).

    Args:
        pattern: RTSTRUCT files under `data.root`; column names and `{split}` in braces are as of `MaskFiles`
            (`rt/{SeriesInstanceUID}.dcm`, `{PatientID}/RTSTRUCT*.dcm`). Several files are merged.
        structures: ROI names or numbers, one channel each; a list entry merges several structures into one channel.
        tolerance: maximum distance between a contour and its slice, mm; less than half the slice spacing.
        name: name of the array, `(K, H, W)` uint8.
        missing: handling of images without a file: `error`, or `empty` masks.
    """

    def __init__(
        self,
        pattern: str,
        structures: list[int | str | list[int | str]],
        tolerance: float = 0.1,
        name: str = "mask",
        missing: Literal["error", "empty"] = "error",
    ) -> None:
        self.pattern, self.structures, self.tolerance = pattern, structures, tolerance
        self.name, self.missing = name, missing

    def take_classes(self, names: list[str] | None) -> None:
        check_count(names, self.structures, False, f"RtStructures: structures are {self.structures}")
        self._names = names

    def class_names(self, root: Path) -> list[str] | None:
        return self._names or joined_names(self.structures)

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        rows = rows_of(table)
        without = [row.image_id for row in rows if not self._paths(row)]
        if without and self.missing == "error":
            raise FileNotFoundError(
                f"{len(without)} images have no structure set {self.pattern!r}; the first is {without[0]!r}. If these "
                "images have no structures, set missing: empty"
            )
        for path in sorted({str(path) for row in rows for path in self._paths(row)}):
            contours = contours_of(path)
            if not any(self._channels(*key) for key in contours):
                names = [f"{number} {name!r}" for number, name in contours]
                raise ValueError(f"{path} has none of the structures {self.structures}, only {', '.join(names)}")

    def files(self, row: Row) -> list[Path]:
        return self._paths(row)

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        plane = plane_of(read_header(row.path), row.path, int(getattr(row, "frame", 0)))
        masks = np.zeros((len(self.structures), *size), np.uint8)
        for path in map(str, self._paths(row)):
            for (number, name), polygons in contours_of(path).items():
                channels = self._channels(number, name)
                if channels:
                    masks[channels] |= drawn(polygons, plane, self.tolerance)
        return {self.name: masks}

    def _paths(self, row: Row) -> list[Path]:
        return files_of(self.root, self.pattern, row)

    def _channels(self, number: int, name: str) -> list[int]:
        lists = [entry if isinstance(entry, list) else [entry] for entry in self.structures]
        return [index for index, wanted in enumerate(lists) if number in wanted or name in wanted]


@lru_cache(maxsize=32)
def contours_of(path: str) -> dict[tuple[int, str], list[np.ndarray]]:
    """Return closed planar contours by ROI number and name, each `(n, 3)` mm in LPS; points and open lines are skipped.

    Raises:
        DicomReadError: if the file is not a structure set, or a contour is invalid.
    """
    header = read_header(path)
    if "StructureSetROISequence" not in header:
        raise DicomReadError(f"{path}: StructureSetROISequence is missing; the file is not an RTSTRUCT file", path)
    try:
        names = {int(item.ROINumber): str(item.get("ROIName") or "") for item in header.StructureSetROISequence}
        found: dict[tuple[int, str], list[np.ndarray]] = {(number, name): [] for number, name in names.items()}
        for roi in header.get("ROIContourSequence") or []:
            number = int(roi.ReferencedROINumber)
            for contour in roi.get("ContourSequence") or []:
                if str(contour.get("ContourGeometricType") or "").upper() not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
                    continue
                points = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
                found.setdefault((number, names.get(number, "")), []).append(points)
    except DicomReadError:
        raise
    except Exception as error:
        raise DicomReadError(f"{path}: contours are damaged: {error}", path, "ROIContourSequence") from error
    return found


def drawn(polygons: list[np.ndarray], plane: Plane, tolerance: float) -> np.ndarray:
    """Return the mask `(H, W)` uint8 of the contours on a plane.

    Args:
        polygons: contours, each `(n, 3)` mm.
        plane: pixel grid of the image.
        tolerance: maximum distance from the plane, mm.
    """
    normal = slice_normal(plane.orientation)
    directions = np.stack([plane.orientation[:3] / plane.spacing[1], plane.orientation[3:] / plane.spacing[0]], axis=1)
    offsets = [points - plane.position for points in polygons]
    near = [one for one in offsets if len(one) and np.abs(one @ normal).max() <= tolerance]
    return (filled([one @ directions + 0.5 for one in near], plane.size, contour=True) > 0).astype(np.uint8)
