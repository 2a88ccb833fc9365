"""The base of every external data set."""

from abc import ABC, abstractmethod
from pathlib import Path

import pandas as pd

from datamodules.readers import Reader
from datamodules.targets import Target


class ExternalData(ABC):
    """Images from elsewhere: trained on in every fold, never validated, never predicted.

    Args:
        root: folder of the data set's files.
        weight: of each of its samples in the loss; below 1 where its labels are less sure than the competition's.
        source: its name; stands before every id, so that ids never collide. Not `train`, the competition's own.
        reader: how its images are read, where the config's reader cannot.
        targets: its sources of truth; None takes the config's, which then read this root and the columns of `table`.

    Raises:
        ValueError: a source that would let its rows be validated, or a weight below 0.
        FileNotFoundError: no such folder.
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
            raise ValueError(f"{type(self).__name__}: source is {source!r}; give the data set a name of its own")
        if not weight >= 0:
            raise ValueError(f"{type(self).__name__}: weight is {weight}, expected 0 or more")
        self.root, self.weight, self.source, self.reader, self.targets = root, weight, source, reader, targets

    @abstractmethod
    def table(self) -> pd.DataFrame:
        """Its images: `image_id, path, weight, source` and the columns of its labels."""

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with this set's name before each id, its weight and its source."""
        ids = f"{self.source}-" + table["image_id"].astype(str)
        return table.assign(image_id=ids, weight=float(self.weight), source=self.source)

    def file(self, name: str) -> Path:
        """A file that the set must have."""
        path = Path(self.root) / name
        if not path.is_file():
            raise FileNotFoundError(f"{type(self).__name__} has no {path}; check its root")
        return path
