"""Photographs from photo sites: only with a licence, and as written by the camera."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from datamodules.external.base import ExternalData
from datamodules.readers import ImageReadError, Reader
from datamodules.targets import Target
from files.paths import confined
from files.tables import read_csv
from files.writing import write_csv

LOG = logging.getLogger(__name__)
MODEL, SOFTWARE = 0x0110, 0x0131  # EXIF tags of the main directory
# Luminance table of ITU T.81, annex K.1, which libjpeg scales by its quality.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


class LicencedPhotos(ExternalData):
    """Photographs of a manifest, filtered like Camera Model Identification's 2nd place (write-ups 49299 and 49602).

    Args:
        root: folder of the files and of `manifest`.
        manifest: CSV with a row per file.
        file_column: column of the path under the root.
        licence_column: column of the licence; a row without one is an error, not a warning.
        weight: weight of each sample in the loss.
        column: label column of the config, which receives the camera.
        exif_model: CSV under the root with `model` (as in EXIF) and `label`; photographs of other models are dropped
            (default: `label_column` of the manifest).
        label_column: column of the label in the manifest.
        exif_no_software: whether to drop files saved by an editing program (EXIF Software other than a version number
            of the camera's firmware).
        min_jpeg_q: minimum JPEG quality, estimated from the quantisation table; 93 in the 2nd place.
        size_column: column `WIDTHxHEIGHT` of the camera's full resolution in `exif_model`; other sizes are dropped.
        report: CSV to which dropped files and reasons are written.
        source: name of the data set.
        reader: image reader, if the config's reader does not fit.
        targets: targets (default: the config's).
    """

    def __init__(
        self,
        root: str,
        manifest: str = "manifest.csv",
        file_column: str = "file",
        licence_column: str = "licence",
        weight: float = 1.0,
        column: str = "label",
        exif_model: str | None = None,
        label_column: str = "label",
        exif_no_software: bool = True,
        min_jpeg_q: int | None = 93,
        size_column: str | None = None,
        report: str | None = None,
        source: str = "photos",
        reader: Reader | None = None,
        targets: list[Target] | None = None,
    ) -> None:
        super().__init__(root, weight, source, reader, targets)
        self.manifest, self.file_column, self.licence_column = manifest, file_column, licence_column
        self.column, self.exif_model, self.label_column = column, exif_model, label_column
        self.exif_no_software, self.min_jpeg_q, self.size_column = exif_no_software, min_jpeg_q, size_column
        self.report = report

    def table(self) -> pd.DataFrame:
        path = self.file(self.manifest)
        rows = read_csv(path)
        wanted = [self.file_column, self.licence_column, *([] if self.exif_model else [self.label_column])]
        lacking = [name for name in wanted if name not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        without = rows.index[rows[self.licence_column].str.strip() == ""]
        if len(without):
            name = rows[self.file_column][without[0]]
            raise ValueError(f"{path}, row {without[0] + 2}: {name!r} has no licence ({len(without)} rows have none)")
        cameras = self._cameras()
        kept, dropped = [], []
        for record in rows.to_dict("records"):
            name = record[self.file_column]
            label, reason = self._judge(confined(self.root, name), record, cameras)
            if reason:
                dropped.append((name, reason))
            else:
                image_id = str(Path(name).with_suffix("")).replace("/", "_")
                kept.append((image_id, str(Path(self.root) / name), label, record[self.licence_column]))
        if dropped:
            LOG.warning("%s: %d of %d photographs are dropped; %s: %s", path, len(dropped), len(rows), *dropped[0])
        if self.report is not None:
            write_csv(self.report, ("file", "reason"), dropped)
        if not kept:
            raise ValueError(f"{path}: all {len(rows)} photographs are dropped; the first is {dropped[0]}")
        return self.named(pd.DataFrame(kept, columns=["image_id", "path", self.column, "licence"]))

    def _cameras(self) -> dict[str, dict[str, str]]:
        if self.exif_model is None:
            return {}
        path = self.file(self.exif_model)
        table = read_csv(path)
        lacking = [
            name for name in ("model", "label", *([self.size_column] if self.size_column else [])) if name not in table
        ]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(table.columns)}")
        return {row["model"].strip().lower(): row for row in table.to_dict("records")}

    def _judge(self, path: Path, record: dict[str, str], cameras: dict[str, dict[str, str]]) -> tuple[str, str]:
        """Return the label, and the reason to drop the photograph (empty if there is none)."""
        try:
            with Image.open(path) as image:
                exif, size, tables = image.getexif(), image.size, getattr(image, "quantization", None)
        except OSError as error:
            raise ImageReadError(f"{path}: {error}") from error
        label = record.get(self.label_column, "")
        if self.exif_model is not None:
            model = str(exif.get(MODEL, "")).strip().strip("\0")
            camera = cameras.get(model.lower())
            if camera is None:
                return "", f"EXIF model {model!r} is not in {self.exif_model}"
            label = camera["label"]
            if self.size_column and f"{max(size)}x{min(size)}" != _long_first(camera[self.size_column]):
                return "", f"{size[0]} x {size[1]} is not the camera's {camera[self.size_column]}"
        software = str(exif.get(SOFTWARE, "")).strip().strip("\0")
        if self.exif_no_software and software and not software[0].isdigit():
            return "", f"EXIF software {software!r}"
        if self.min_jpeg_q is not None:
            quality = jpeg_quality(tables) if tables else None
            if quality is None or quality < self.min_jpeg_q:
                return "", f"JPEG quality {quality}" if quality is not None else "not a JPEG"
        return label, ""


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """Return the libjpeg quality, 1 to 100, of the luminance table (in row order)."""
    table = np.sort(np.asarray(tables[0], np.int64).ravel())
    errors = []
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        expected = np.sort(np.clip((LUMINANCE.ravel() * scale + 50) // 100, 1, 255))
        errors.append(np.abs(expected - table).sum())
    return int(np.argmin(errors)) + 1


def _long_first(text: str) -> str:
    sides = sorted((int(side) for side in text.lower().split("x")), reverse=True)
    return f"{sides[0]}x{sides[1]}"
