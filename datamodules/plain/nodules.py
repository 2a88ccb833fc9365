"""Nodules of LIDC-IDRI as single images, in folds."""

import warnings

import pandas as pd

from datamodules.external.lidc import reading_rows
from datamodules.plain.volumes import VolumeData
from datamodules.readers.cubes import CubeReader
from evaluation.cross_validation import CrossValidation
from files.paths import confined


class NoduleData(VolumeData):
    """Cubes around the nodules of LIDC-IDRI, one row per nodule and reader, to train `networks.C3D` on malignancy.

    Columns are those of `datamodules.external.Lidc` with `rows: readings`; `datamodules.targets.Labels` without a CSV
    reads `malignancy` from them. A nodule read by four radiologists has four rows, so group folds by `patient`.
    Arguments are those of `BaseData`; `images` is the glob of the XML files, `*/*/*/*.xml`.
    """

    default_reader = CubeReader

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        confined(root, pattern)
        return reading_rows(root, pattern).assign(weight=1.0, source=source)

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        if cv.group is None:
            warnings.warn(
                "cv.group is not set: readings of one nodule by several radiologists would be in different folds; set "
                "cv.group: patient",
                stacklevel=2,
            )
        return super().fold_table(cv)
