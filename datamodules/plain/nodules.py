"""Nodules of LIDC-IDRI as images of their own, in folds."""

import warnings

import pandas as pd

from datamodules.external.lidc import reading_rows
from datamodules.plain.volumes import VolumeData
from datamodules.readers.cubes import CubeReader
from evaluation.cross_validation import CrossValidation
from files.paths import confined


class NoduleData(VolumeData):
    """Cubes around the nodules of LIDC-IDRI, a row per nodule and reader: what `networks.C3D` learns malignancy from.

    Columns: those of `datamodules.external.Lidc` with `rows: readings`. `datamodules.targets.Labels` without a CSV
    takes `malignancy` from them. A nodule that four radiologists saw is four rows, so group folds by `patient`. Its
    arguments are those of its base; `images` is the glob of the XML files, `*/*/*/*.xml`.
    """

    default_reader = CubeReader

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        confined(root, pattern)
        return reading_rows(root, pattern).assign(weight=1.0, source=source)

    def fold_table(self, cv: CrossValidation) -> pd.DataFrame:
        if cv.group is None:
            warnings.warn(
                "cv.group is not set: what several radiologists said about one nodule would lie in several folds; set "
                "cv.group: patient",
                stacklevel=2,
            )
        return super().fold_table(cv)
