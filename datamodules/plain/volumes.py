"""CT and MR volumes: NIfTI, MetaImage, folders of DICOM slices, and TIFF of many pages."""

from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.plain.base import BaseData
from datamodules.readers.volumes import ENDINGS, VolumeReader, ending_of
from datamodules.table import ID, as_expression
from files.paths import confined

VOXELS = (".raw", ".zraw", ".img")  # stand beside the header that names them


class VolumeData(BaseData):
    """Volumes found by glob patterns: a file each (`imagesTr/*.nii.gz`), or a folder of DICOM slices each (`scans/*`).

    The id is the file's name without its ending (`.nii.gz` as one), or the folder's name, unless `{image_id}` stands in
    the pattern. Images are `(D, H, W, C)`, samples `(C, D, H, W)`.

    Its arguments are those of its base.
    """

    default_reader = VolumeReader

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.reader, VolumeReader):
            raise ValueError(
                f"data.reader is {type(self.reader).__name__}, volumes want datamodules.readers.VolumeReader"
            )
        for target in [*self.targets, *self.test_targets]:
            target.follow(self.reader)

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        return find_volumes(root, pattern, source)


def find_volumes(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Table of the volume files and series folders that match a glob pattern under the root.

    Hidden files and those that hold the voxels of a header beside them (`.raw`) are passed over.

    Args:
        root: folder of the competition's files.
        pattern: `imagesTr/*.nii.gz`, `scans/*`, `train/{image_id}/ct.mha`.
        source: where the rows come from.

    Returns:
        `image_id, path, weight, source`, sorted by id.

    Raises:
        FileNotFoundError: nothing matches.
        ValueError: a file that is no volume, two volumes with one id, or a pattern that leads out of the root.
    """
    pattern = pattern.rstrip("/")
    confined(root, pattern)
    found = [path for path in sorted(Path(root).glob(pattern.replace(ID, "*"))) if not path.name.startswith(".")]
    found = [path for path in found if path.is_dir() or not path.name.lower().endswith(VOXELS)]
    names = {path: _id(path) for path in found}
    if ID in pattern:  # a second {image_id} must repeat the first, which a glob cannot say
        matches = {path: as_expression(pattern).fullmatch(path.relative_to(root).as_posix()) for path in found}
        names = {path: match.group("id") for path, match in matches.items() if match}
    found = list(names)
    unlike = next((path for path in found if path.is_file() and not ending_of(path)), None)
    if unlike is not None:
        raise ValueError(
            f"{unlike} matches {pattern!r} and is no volume by its ending ({', '.join(ENDINGS)}); make the pattern "
            "narrower, or name the folder that holds the slices of a series"
        )
    if not found:
        what = "is not there" if not Path(root).is_dir() else f"has nothing that matches {pattern!r}"
        raise FileNotFoundError(f"no volumes: {Path(root)} {what}; check data.root and data.images")
    table = pd.DataFrame({"image_id": list(names.values()), "path": [str(path) for path in found]})
    table["weight"], table["source"] = 1.0, source
    twice = table[table["image_id"].duplicated(keep=False)]
    if len(twice):
        one, other = twice[twice["image_id"] == twice["image_id"].iloc[0]]["path"].tolist()[:2]
        raise ValueError(f"two volumes have the id {twice['image_id'].iloc[0]!r}: {one} and {other}")
    return table.sort_values("image_id", ignore_index=True)


def _id(path: Path) -> str:
    ending = "" if path.is_dir() else ending_of(path)  # the name of a folder may be a UID, full of dots
    return path.name[: len(path.name) - len(ending)]
