"""LIDC-IDRI: lung CTs with nodules outlined and rated by up to four radiologists."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from datamodules.external.base import ExternalData
from datamodules.readers import CubeReader, Reader, VolumeReader
from datamodules.readers.dicom_files import read_header
from datamodules.readers.volumes import files_of, read_grid, source_of
from datamodules.row import Row
from datamodules.targets import Labels, Target
from datamodules.targets.dicom_seg import Plane, plane_of
from files.texts import read_xml
from masks.polygons import contour_pixels, filled

CHARACTERISTICS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)


def read_readings(path: Path | str) -> list[dict[str, Any]]:
    """Read the readings of one scan, one entry per reader and nodule: a nodule seen by four readers has four entries.

    Returns:
        Dicts of `reader` (from 0), `nodule` (its id for that reader), the `CHARACTERISTICS` 1 … 5 (missing for nodules
        below 3 mm) and `contours`: `[z in mm, whether it is inside, [[x, y], …] in pixels]`.

    Raises:
        ValueError: if the file is not an LIDC file; names it.
    """
    root = read_xml(path)
    for element in root.iter():  # the namespace differs between releases
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "LidcReadMessage":
        raise ValueError(f"{path}: root is <{root.tag}>, expected <LidcReadMessage>")
    readings = []
    for reader, session in enumerate(root.iter("readingSession")):
        for nodule in session.iter("unblindedReadNodule"):
            entry: dict[str, Any] = {"reader": reader, "nodule": nodule.findtext("noduleID", "").strip()}
            traits = nodule.find("characteristics")
            try:
                for name in CHARACTERISTICS if traits is not None else ():
                    text = traits.findtext(name)
                    if text is not None and text.strip():
                        entry[name] = int(text)
                entry["contours"] = [_contour(roi) for roi in nodule.iter("roi")]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}: nodule {entry['nodule']!r} of reader {reader}: {error}") from error
            readings.append(entry)
    return readings


def _contour(roi: ElementTree.Element) -> list:
    points = [[int(edge.findtext("xCoord")), int(edge.findtext("yCoord"))] for edge in roi.iter("edgeMap")]
    inside = roi.findtext("inclusion", "TRUE").strip().upper() == "TRUE"
    return [float(roi.findtext("imageZposition")), inside, points]


class Lidc(ExternalData):
    """LIDC-IDRI (Armato et al., Medical Physics 2011): one row per scan, or one row per nodule and reader.

    Rows of scans, a series folder with an XML each, have the columns `readings`, a JSON list from `read_readings`; the
    mean of each characteristic over all readings that have it, such as `malignancy` (empty without any); and
    `malignancy_max`, that of the worst reading.

    Rows of readings have the columns `centre` (`[x, y, z]` in millimetres, LPS), `diameter` (mm, of the outline),
    `reader`, `nodule` and the characteristics given by this reader: juliandewit (Data Science Bowl 2017, 2nd place)
    trained on each reader's malignancy, so a nodule seen by four readers counts four times. Nodules below 3 mm, which
    have no ratings, are dropped. Both kinds of rows have the column `patient`.

    Args:
        root: folder of the data set, `LIDC-IDRI-0001/<study>/<series>/*.dcm` with one XML in each series.
        weight: weight of each sample in the loss.
        pattern: glob of the XML files under the root.
        rows: kind of rows: `scans`, or `readings`, one for each nodule and reader.
        source: name of the data set.
        reader: image reader (default: for scans the config's, for readings `datamodules.readers.CubeReader` with cubes
            of 32 voxels of 1 mm).
        targets: targets (default: for scans `LidcMask`, for readings the label `malignancy`).
    """

    def __init__(
        self,
        root: str,
        weight: float = 1.0,
        pattern: str = "**/*.xml",
        rows: Literal["scans", "readings"] = "scans",
        source: str = "lidc",
        reader: Reader | None = None,
        targets: list[Target] | None = None,
    ) -> None:
        if rows == "readings":
            reader = CubeReader(spacing=[1.0, 1.0, 1.0]) if reader is None else reader
            targets = [Labels("malignancy", kind="number", name="malignancy")] if targets is None else targets
        super().__init__(root, weight, source, reader, [LidcMask()] if targets is None else targets)
        self.pattern, self.rows = pattern, rows

    def table(self) -> pd.DataFrame:
        found = scan_rows if self.rows == "scans" else reading_rows
        return self.named(found(self.root, self.pattern))


def scan_rows(root: Path | str, pattern: str) -> pd.DataFrame:
    """Return a row per scan of LIDC-IDRI, without weight and source; see `Lidc`."""
    rows = []
    for scan, readings in _scans(root, pattern):
        means = {}
        for name in CHARACTERISTICS:
            values = [entry[name] for entry in readings if name in entry]
            means[name] = f"{np.mean(values):g}" if values else ""
            if name == "malignancy":
                means["malignancy_max"] = str(max(values)) if values else ""
        rows.append(scan | means | {"readings": json.dumps(readings)})
    return pd.DataFrame(rows)


def reading_rows(root: Path | str, pattern: str) -> pd.DataFrame:
    """Return a row per nodule and reader of LIDC-IDRI, without weight and source; see `Lidc`.

    Raises:
        ValueError: if a scan has no position in its headers, or there are no rated nodules.
    """
    rows = []
    for scan, readings in _scans(root, pattern):
        judged = [(number, entry) for number, entry in enumerate(readings) if "malignancy" in entry]
        plane = first_plane(scan["path"]) if judged else None
        for number, entry in judged:
            centre, diameter = _extent(entry, plane, scan["path"])
            row = scan | {"image_id": f"{scan['image_id']}_r{entry['reader']}_{number}"}
            row |= {"reader": str(entry["reader"]), "nodule": entry["nodule"]}
            row |= {name: str(entry.get(name, "")) for name in CHARACTERISTICS}
            rows.append(row | {"centre": json.dumps(centre), "diameter": f"{diameter:.4g}"})
    if not rows:
        raise ValueError(f"Lidc: no XML of {root} that matches {pattern!r} has a rated nodule")
    return pd.DataFrame(rows)


def _scans(root: Path | str, pattern: str) -> Iterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Yield the names of each scan, and its readings."""
    files = sorted(Path(root).glob(pattern))
    if not files:
        raise FileNotFoundError(f"Lidc: {root} has no {pattern}; check root")
    for file in files:
        if not any(path for path in file.parent.iterdir() if path.suffix != ".xml"):
            continue  # the XML of a chest X-ray
        place = file.parent.relative_to(root)
        names = {"image_id": str(place).replace("/", "_"), "path": str(file.parent)}
        yield names | {"patient": place.parts[0] if place.parts else ""}, read_readings(file)


def first_plane(folder: Path | str) -> Plane:
    """Return the pixel grid of a series, from its first slice."""
    path = files_of(Path(folder))[0]
    return plane_of(read_header(path), path)


def _extent(entry: dict[str, Any], plane: Plane, path: str) -> tuple[list[float], float]:
    """Return the centre `[x, y, z]` of a nodule, mm (LPS), and its largest extent along the axes of a slice, mm."""
    outlines = [(z, points) for z, inside, points in entry["contours"] if inside and points]
    if not outlines:
        raise ValueError(f"{path}: nodule {entry['nodule']!r} of reader {entry['reader']} has no outline")
    corners = np.concatenate([np.array(points, np.float64) for _, points in outlines])
    low, high = corners.min(axis=0), corners.max(axis=0)
    across, down = plane.orientation[:3], plane.orientation[3:]
    column, row = (low + high) / 2
    centre = plane.position + column * plane.spacing[1] * across + row * plane.spacing[0] * down
    normal = np.cross(across, down)
    if abs(normal[2]) < 0.1:
        raise ValueError(f"{path}: slices are vertical ({plane.orientation.tolist()}), so z of outlines is ambiguous")
    heights = [z for z, _ in outlines]
    centre = centre + normal * ((min(heights) + max(heights)) / 2 - centre[2]) / normal[2]
    return [round(float(number), 4) for number in centre], float(((high - low) * plane.spacing[::-1]).max())


class LidcMask(Target):
    """Voxels outlined as nodule by at least `readers` readers: `(1, D, H, W)` uint8.

    Outlines are on the first pixels outside the nodule; contours with inclusion FALSE are holes.

    Args:
        readers: minimum number of readers; 2, half of four, is common.
        column: column of the JSON list from `read_readings`.
        name: name of the array.
    """

    def __init__(self, readers: int = 2, column: str = "readings", name: str = "mask") -> None:
        if readers < 1:
            raise ValueError(f"LidcMask: readers is {readers}, expected 1 or more")
        self.readers, self.column, self.name = readers, column, name
        self._reader: VolumeReader | None = None

    def follow(self, reader: VolumeReader) -> None:
        self._reader = reader

    def read(self, row: Row, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        if self._reader is None:
            raise ValueError("LidcMask does not know the image reader; use datamodules.VolumeDataModule")
        full, affine = read_grid(source_of(row))
        votes = agreement(json.loads(getattr(row, self.column)), full, affine)
        mask, _ = self._reader.placed((votes >= self.readers).astype(np.uint8), affine, order=0)
        if mask.shape != tuple(size):
            raise ValueError(f"the outlines of {row.image_id!r} give {mask.shape}, but its scan is {tuple(size)}")
        return {self.name: np.ascontiguousarray(mask)[None]}


def agreement(readings: list[dict[str, Any]], size: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Return the number of readers that outlined each voxel, `(D, H, W)` uint8, on the grid of the slices."""
    heights = affine[2, 3] + affine[2, 0] * np.arange(size[0])
    masks: dict[int, np.ndarray] = {}
    for entry in readings:
        # Combine each nodule first, so that a hole in one does not affect another.
        own: dict[int, np.ndarray] = {}
        for z, inside, points in sorted(entry["contours"], key=lambda contour: not contour[1]):
            index = int(np.abs(heights - z).argmin())
            if abs(heights[index] - z) > abs(affine[2, 0]) / 2 + 1e-3:
                raise ValueError(f"a contour is at z = {z} mm, but the scan has {heights.min()} to {heights.max()} mm")
            drawn = _outlined(points, size[1:])
            place = own.setdefault(index, np.zeros(size[1:], bool))
            own[index] = place | drawn if inside else place & ~drawn
        for index, drawn in own.items():
            reader = masks.setdefault(entry["reader"], np.zeros(size, np.uint8))
            reader[index] |= drawn
    return np.sum(list(masks.values()), axis=0, dtype=np.uint8) if masks else np.zeros(size, np.uint8)


def _outlined(points: list[list[int]], size: tuple[int, int]) -> np.ndarray:
    """Return the inside of an outline, `(H, W)` bool, without its own pixels; one point (below 3 mm) is one pixel."""
    ring = np.array(points, np.float64).reshape(-1, 2) + 0.5
    if len(ring) == 1:
        return filled([ring], size, contour=True) > 0
    inside = filled([ring], size) > 0
    _, rows, columns = contour_pixels([ring], size)
    inside[rows, columns] = False
    return inside
