"""Images with the class by which they are paired."""

from typing import Any

import numpy as np

from datamodules.plain.base import BaseData
from datamodules.table import rows_of
from datamodules.targets import Labels


class PairData(BaseData):
    """Images with exactly one target of kind `single`, the class by which they are paired.

    Arguments are those of `BaseData`; `reader` may be any reader.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = [target for target in self.targets if isinstance(target, Labels) and target.kind == "single"]
        if len(labels) != 1:
            raise ValueError(
                f"data.targets has {len(labels)} targets Labels of kind single, expected 1: the class by which images "
                "are paired"
            )
        self.pair_target = labels[0]

    def image_classes(self, split: str) -> np.ndarray:
        """Return the class number of each image of `train` or `val`."""
        self.prepare_targets()
        decoder = self._decoder(self.targets, external=split == "train")
        name = self.pair_target.name
        return np.array([int(decoder.target_arrays(row)[name]) for row in rows_of(self.split_table(split))])
