"""CT and MR volumes: NIfTI, MetaImage, folders of DICOM slices, and multi-page TIFF."""

from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.volumes import ENDINGS, VolumeReader, ending_of
from datamodules.table import ID, as_expression, not_found, sorted_by_id
from files.paths import confined

VOXELS = (".raw", ".zraw", ".img")  # voxel data of a header file in the same folder


class VolumeData(BaseData):
    """Volumes matched by a glob: one file each (`imagesTr/*.nii.gz`), or one folder of DICOM slices each (`scans/*`).

    The id is the file name without its ending (`.nii.gz` counts as one), or the folder name, unless the pattern has
    `{image_id}`. Images are `(D, H, W, C)`, samples `(C, D, H, W)`.

    Arguments are those of `BaseData`.
    """

    default_reader = VolumeReader

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.reader, VolumeReader):
            raise ValueError(
                f"data.reader is {type(self.reader).__name__}, volumes need datamodules.readers.VolumeReader"
            )
        for target in [*self.targets, *self.test_targets]:
            target.follow(self.reader)

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        return find_volumes(root, pattern, source)


def find_volumes(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Return a table of the volume files and series folders that match a glob under the root.

    Hidden files and voxel files of a separate header (`.raw`) are skipped.

    Args:
        root: folder of the competition's files.
        pattern: glob: `imagesTr/*.nii.gz`, `scans/*`, `train/{image_id}/ct.mha`.
        source: value of the column `source`.

    Returns:
        Table with `image_id, path, weight, source`, sorted by id.

    Raises:
        FileNotFoundError: if nothing matches.
        ValueError: if a file is not a volume, two volumes have the same id, or the pattern leads out of the root.
    """
    pattern = pattern.rstrip("/")
    confined(root, pattern)
    found = [path for path in sorted(Path(root).glob(pattern.replace(ID, "*"))) if not path.name.startswith(".")]
    found = [path for path in found if path.is_dir() or not path.name.lower().endswith(VOXELS)]
    names = {path: _id(path) for path in found}
    if ID in pattern:  # a second {image_id} must repeat the first, which a glob cannot express
        matches = {path: as_expression(pattern).fullmatch(path.relative_to(root).as_posix()) for path in found}
        names = {path: match.group("id") for path, match in matches.items() if match}
    found = list(names)
    unlike = next((path for path in found if path.is_file() and not ending_of(path)), None)
    if unlike is not None:
        raise ValueError(
            f"{unlike} matches {pattern!r} but does not have the ending of a volume ({', '.join(ENDINGS)}); make the "
            "pattern narrower, or use the folder that contains the slices of a series"
        )
    if not found:
        raise not_found(root, pattern, "volumes")
    table = pd.DataFrame({"image_id": list(names.values()), "path": [str(path) for path in found]})
    table["weight"], table["source"] = 1.0, source
    return sorted_by_id(table, "volumes")


def _id(path: Path) -> str:
    ending = "" if path.is_dir() else ending_of(path)  # the name of a folder may be a UID, with many dots
    return path.name[: len(path.name) - len(ending)]
