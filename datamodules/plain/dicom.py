"""Medical images: DICOM files in any folders, with or without an ending."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from datamodules.dicom_neighbours import STACK_TAGS, Slice, neighbours_of, slice_of
from datamodules.plain.base import BaseData
from datamodules.readers.dicom import DicomReader
from datamodules.readers.dicom_elements import element_of, frame_count, place_of
from datamodules.readers.dicom_errors import DicomReadError, silence_pydicom
from datamodules.readers.dicom_files import read_header
from datamodules.table import ID, find_images, not_found, sorted_by_id
from evaluation.cross_validation import CrossValidation
from files.paths import confined
from preprocessing.series import slice_places

ENDINGS = (".dcm", ".dicom", ".dic", ".ima")  # a UID has many dots: 1.2.840.113 has no ending
PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "NumberOfFrames", "SeriesInstanceUID", "SOPInstanceUID")
GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")  # positions of enhanced files
TAGS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ViewPosition",
    "PatientSex",
    "PatientAge",
    "PixelSpacing",
)


class DicomData(BaseData):
    """DICOM files matched by a glob, with values of their headers as columns of the table.

    Additional columns: each of `tags`; `series` (SeriesInstanceUID, or the folder if missing) and `position` (mm along
    the normal of the slices, NaN if unknown). So `cv.group: PatientID` keeps a patient in one fold, and a numeric tag
    can be one of `features`. Hidden files and DICOMDIR are skipped; any other matching file that is not a DICOM image
    is an error.

    The other arguments are those of `BaseData`.

    Args:
        tags: DICOM keywords read into the table as text, multiple values joined by a backslash; empty if missing.
        image_ids: source of the image id: the `file` name without `.dcm`, the SOPInstanceUID (`sop`), or the `folder`
            name. Ignored if the pattern has `{image_id}`.
        frames: whether each frame of a multi-frame file is an image, `<id>_0`, `<id>_1` …; otherwise such files are
            errors.
        skip_unreadable: whether to skip training files whose header cannot be read, with a warning that lists them;
            otherwise they are errors. Test files must get a row: see `unreadable`.
    """

    default_reader = DicomReader

    def __init__(
        self,
        *args: Any,
        tags: list[str] | None = None,
        image_ids: Literal["file", "sop", "folder"] = "file",
        frames: bool = False,
        skip_unreadable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.tags, self.image_ids, self.frames = list(TAGS) if tags is None else tags, image_ids, frames
        self.skip_unreadable = skip_unreadable
        self._facts: dict[str, list[dict[str, Any]]] = {}

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        confined(root, pattern)
        named: dict[str, str] = {}
        if ID in pattern:
            named = {path: name for name, path in find_images(root, pattern, source)[["image_id", "path"]].to_numpy()}
            files = sorted(named)
        else:
            files = sorted(str(path) for path in Path(root).glob(pattern) if path.is_file())
        files = [path for path in files if _wanted(Path(path).relative_to(root))]
        if not files:
            raise not_found(root, pattern)
        absent = self.unreadable == "empty" and source != "train"
        files = self._read_headers(files, skip=self.skip_unreadable and source == "train", absent=absent)
        rows = []
        for path in files:
            frames = self._facts[path]
            if len(frames) > 1 and not self.frames:
                raise DicomReadError(
                    f"{path}: NumberOfFrames is {len(frames)}; set data.frames: true to make each frame an image",
                    path,
                    "NumberOfFrames",
                    len(frames),
                )
            for number, facts in enumerate(frames):
                name = named[path] if named else self._name(path, facts)
                own = {"image_id": f"{name}_{number}", "frame": number} if self.frames else {"image_id": name}
                values = {key: value for key, value in facts.items() if not key.startswith("_")}
                rows.append(own | {"path": path, "weight": 1.0, "source": source} | values)
        table = sorted_by_id(pd.DataFrame(rows), cure="; set data.image_ids to file, sop or folder")
        if self._neighbours():
            table["slices"] = self._slices(table)
        return table

    def _neighbours(self) -> int:
        return getattr(self.reader, "neighbours", 0)

    def _slices(self, table: pd.DataFrame) -> list[list[tuple[str, int | None]]]:
        """Return the files and frames around each row; a file that cannot be read has no neighbours."""
        frames = table["frame"].tolist() if self.frames else [None] * len(table)
        slices: list[Slice | None] = []
        for path, frame in zip(table["path"], frames, strict=True):
            known = self._facts[path][frame or 0].get("_slice")
            slices.append(known if known is None else known._replace(frame=frame))
        found = iter(neighbours_of([one for one in slices if one], self.reader.neighbours, self.reader.stride))
        return [
            next(found) if one else [(path, frame)]
            for one, path, frame in zip(slices, table["path"], frames, strict=True)
        ]

    def _name(self, path: str, facts: dict[str, Any]) -> str:
        if self.image_ids == "sop":
            if not facts["_sop"]:
                raise DicomReadError(f"{path}: SOPInstanceUID is empty; set data.image_ids: file", path)
            return facts["_sop"]
        if self.image_ids == "folder":
            return Path(path).parent.name
        name = Path(path).name
        ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
        return name[: len(name) - len(ending)]

    def _read_headers(self, files: Sequence[str], skip: bool, absent: bool = False) -> list[str]:
        """Read the headers not read before, in parallel, and return the files that have one.

        Files that cannot be read raise an error, are skipped (`skip`), or get empty values (`absent`).
        """
        from pydicom.datadict import tag_for_keyword

        unknown = [tag for tag in self.tags if tag_for_keyword(tag) is None]
        if unknown:
            raise ValueError(f"data.tags: {unknown[0]!r} is not a DICOM keyword; keywords are written like PatientID")
        new = [path for path in files if path not in self._facts or "_absent" in self._facts[path][0]]
        # Parsing holds the interpreter lock; waiting for a disk or a network does not.
        with silence_pydicom(), ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
            found = dict(zip(new, pool.map(lambda path: self._facts_or_error(path, skip or absent), new), strict=True))
        if absent:
            blank = dict.fromkeys(self.tags, "") | {"position": float("nan"), "_sop": "", "_absent": True}
            found = {
                path: [blank | {"series": str(Path(path).parent)}] if isinstance(facts, DicomReadError) else facts
                for path, facts in found.items()
            }
        broken = {path: facts for path, facts in found.items() if isinstance(facts, DicomReadError)}
        self._facts |= {path: facts for path, facts in found.items() if path not in broken}
        if broken:
            listed = "\n  ".join(str(error) for error in broken.values())
            warnings.warn(
                f"data.skip_unreadable: {len(broken)} of {len(files)} files are skipped:\n  {listed}", stacklevel=2
            )
        if len(broken) == len(files):
            raise next(iter(broken.values()))
        return [path for path in files if path in self._facts and path not in broken]

    def _facts_or_error(self, path: str, skip: bool) -> list[dict[str, Any]] | DicomReadError:
        try:
            return facts_of(path, self.tags, stacked=self._neighbours() > 0)
        except DicomReadError as error:
            if not skip:
                raise
            return error

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        table = super().fold_table(cv)
        for column in [cv.group] if isinstance(cv.group, str) else list(cv.group or []):
            if column in self.tags and (table[column] == "").any():
                empty = table.loc[table[column] == "", "path"].tolist()
                raise ValueError(
                    f"cv.group is {column}, which is empty in {len(empty)} of {len(table)} files (first: {empty[0]}); "
                    "group by series, or by a column of data.metadata"
                )
        if self._neighbours() and cv.group is None:
            warnings.warn(
                "data.reader adds neighbouring slices, but cv.group is not set: slices of one series can be in "
                "different folds, which leaks training images into validation; set cv.group: series (or PatientID)",
                stacklevel=2,
            )
        return table

    def leaks(self, table: pd.DataFrame) -> list[str]:
        found = super().leaks(table)
        for column, what in (("PatientID", "patients"), ("series", "series")):
            if column in table and table["given"].nunique() > 1:
                sides = table[table[column] != ""].groupby(column)["given"].nunique()
                if (sides > 1).any():
                    found.append(f"{int((sides > 1).sum())} {what} have images on both sides")
        return found


def facts_of(path: str, tags: Sequence[str], stacked: bool = False) -> list[dict[str, Any]]:
    """Return the header values of each frame: `tags` as text, `series`, `position`, and the SOPInstanceUID as `_sop`.

    Args:
        path: DICOM file.
        tags: DICOM keywords.
        stacked: whether to add `_slice`, a `Slice` with the stack of the frame.

    Raises:
        DicomReadError: if the file is not a DICOM file, or has no image.
    """
    header = read_header(path, [*tags, *PLACE, *GROUPS, *(STACK_TAGS if stacked else ())])
    if header.get("Rows") is None or header.get("Columns") is None:
        kind = getattr(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID"), "name", "kind unknown")
        raise DicomReadError(
            f"{path}: Rows is None; the file has no image ({kind}); make data.images narrower so it does not match",
            path,
            "Rows",
        )
    try:
        values = {tag: _text(element_of(header, tag)) for tag in tags}
        series = str(header.get("SeriesInstanceUID") or "").strip() or str(Path(path).parent)
        values |= {"series": series, "_sop": str(header.get("SOPInstanceUID") or "").strip()}
        facts = [values | {"position": _position(header, path, frame)} for frame in range(frame_count(header, path))]
        if stacked:
            facts = [own | {"_slice": slice_of(header, path, frame, series)} for frame, own in enumerate(facts)]
    except DicomReadError:
        raise
    except Exception as error:
        raise DicomReadError(f"{path}: header is damaged: {error}", path) from error
    return facts


def _wanted(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts) and path.stem.upper() != "DICOMDIR"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float) or not hasattr(value, "__iter__"):
        return str(value).strip()
    return "\\".join(str(part).strip() for part in value)


def _position(header: Any, path: str, frame: int) -> float:
    try:
        position, orientation = place_of(header, path, frame)
        return float(slice_places(position, orientation)[0])
    except ValueError:  # most X-rays have no position in space
        return float("nan")
