"""Connected components."""

from typing import Literal

import cv2
import numpy as np

from postprocessing.step import Step, named, plane


def label(mask: np.ndarray, connectivity: Literal[1, 2] = 1) -> np.ndarray:
    """Components of a bool mask `(H, W)` as int32 ids; connectivity 1 joins edges, 2 corners too."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4 if connectivity == 1 else 8)
    return labels


class ConnectedComponents(Step):
    """Instances = connected components of a mask.

    Args:
        source: bool mask `(1, H, W)`.
        connectivity: 1 joins pixels that share an edge, 2 also those that share a corner.
        result: name of the ids `(H, W)` int32.
    """

    def __init__(self, source: str = "mask", connectivity: Literal[1, 2] = 1, result: str = "instances") -> None:
        self.source, self.connectivity, self.result = source, connectivity, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        mask = plane(named(prediction, self.source, self), self.source, self)
        if mask.dtype != bool:
            raise ValueError(f"ConnectedComponents wants a bool mask, {self.source!r} is {mask.dtype}: threshold it")
        return prediction | {self.result: label(mask, self.connectivity)}
