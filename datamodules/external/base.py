"""The base class of external data sets."""

from abc import ABC, abstractmethod
from pathlib import Path

import pandas as pd

from datamodules.readers import Reader
from datamodules.targets import Target


class ExternalData(ABC):
    """Base class of external images: used for training in every fold, never validated, never predicted.

    Args:
        root: folder of the data set's files.
        weight: weight of each sample in the loss; below 1 if labels are less certain than the competition's.
        source: name of the data set, prefixed to every id to keep ids unique. Not `train`, the competition's own.
        reader: image reader, if the config's reader does not fit.
        targets: targets of the data set (default: the config's, which then read this root and the columns of `table`).

    Raises:
        ValueError: if the source is a reserved name, or the weight is negative.
        FileNotFoundError: if the folder does not exist.
    """

    def __init__(
        self,
        root: str,
        weight: float,
        source: str,
        reader: Reader | None = None,
        targets: list[Target] | None = None,
    ) -> None:
        if source in ("train", "test", "predict", ""):
            raise ValueError(f"{type(self).__name__}: source is {source!r}, which is reserved; choose another name")
        if not weight >= 0:
            raise ValueError(f"{type(self).__name__}: weight is {weight}, expected 0 or more")
        self.root, self.weight, self.source, self.reader, self.targets = root, weight, source, reader, targets

    @abstractmethod
    def table(self) -> pd.DataFrame:
        """Return the images: `image_id, path, weight, source` and the columns of the labels."""

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Prefix each id with the name of the data set, and set its weight and source."""
        ids = f"{self.source}-" + table["image_id"].astype(str)
        return table.assign(image_id=ids, weight=float(self.weight), source=self.source)

    def file(self, name: str) -> Path:
        """Return a file that the data set must have."""
        path = Path(self.root) / name
        if not path.is_file():
            raise FileNotFoundError(f"{type(self).__name__}: file {path} does not exist; check root")
        return path
