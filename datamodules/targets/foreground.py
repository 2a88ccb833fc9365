"""Foreground masks of instances."""

import numpy as np

from datamodules.targets.base import Target
from masks.void import foreground


class Foreground(Target):
    """Binary mask of all instances.

    Args:
        source: name of the instance ids `(H, W)`.
        name: name of the resulting array, uint8 `(1, H, W)`.
    """

    def __init__(self, source: str = "instances", name: str = "mask") -> None:
        self.source, self.name = source, name

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.source not in sample:
            raise ValueError(f"Foreground needs {self.source!r}, but the sample has only {sorted(sample)}; set source")
        return {self.name: foreground(sample, self.source).astype(np.uint8)[None]}
