"""Fill holes of masks and of instances."""

import numpy as np

from postprocessing.components import label
from postprocessing.step import Step, named


def holes(mask: np.ndarray, maximum: int | None = None) -> np.ndarray:
    """Background of a bool mask `(H, W)` that does not reach the border, where no larger than `maximum` pixels."""
    background = label(np.pad(~mask, 1, constant_values=True))
    sizes = np.bincount(background.ravel())
    inside = np.ones(len(sizes), bool)
    inside[[0, background[0, 0]]] = False
    if maximum is not None:
        inside &= sizes <= maximum
    return inside[background[1:-1, 1:-1]]


class FillHoles(Step):
    """Fill background that is enclosed by the mask, or by one instance.

    Args:
        output: a bool mask `(C, H, W)`, or instance ids `(H, W)`; a hole between several instances stays.
        maximum: largest hole in pixels that is filled; None fills all.
    """

    def __init__(self, output: str = "mask", maximum: int | None = None) -> None:
        self.output, self.maximum = output, maximum

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = named(prediction, self.output, self)
        if array.dtype == bool:
            return prediction | {self.output: np.stack([c | holes(c, self.maximum) for c in array])}
        if array.dtype.kind == "f":
            raise ValueError(f"FillHoles wants a mask or instances, {self.output!r} holds probabilities: threshold it")
        return prediction | {self.output: self._instances(array)}

    def _instances(self, labels: np.ndarray) -> np.ndarray:
        inside = label(holes(labels > 0, self.maximum), 1)
        if not inside.any():
            return labels
        # The instances around each hole: smallest and largest id among its neighbours must be the same one.
        number = int(inside.max()) + 1
        lowest, highest = np.full(number, np.iinfo(np.int64).max), np.zeros(number, np.int64)
        for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
            for hole, neighbour in ((one, other), (other, one)):
                touching = (inside[hole] > 0) & (labels[neighbour] > 0)
                np.minimum.at(lowest, inside[hole][touching], labels[neighbour][touching])
                np.maximum.at(highest, inside[hole][touching], labels[neighbour][touching])
        owner = np.where(lowest == highest, highest, 0)
        owner[0] = 0
        return np.where(inside > 0, owner[inside], labels).astype(labels.dtype)
