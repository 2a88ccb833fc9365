"""Convex objects."""

import cv2
import numpy as np

from postprocessing.components import label
from postprocessing.step import Step, mask_or_instances


class ConvexHull(Step):
    """Replace each component of a mask, or each instance, by its convex hull.

    Carvana 2017, 5th place: hulls and filled holes brought 0.0002. A hull is that of the pixels' centres, drawn with
    its edges. Where the hulls of two instances overlap, the pixel stays what it was, or goes to the larger id.

    Args:
        output: a bool mask `(C, H, W)`, components of which are joined by edges and corners, or instance ids `(H, W)`.
        solidity: only objects that fill at least this share of their hull are replaced; 0 replaces all. A bent object
            is not meant to be convex.
    """

    def __init__(self, output: str = "mask", solidity: float = 0.0) -> None:
        if not 0 <= solidity <= 1:
            raise ValueError(f"ConvexHull: solidity is {solidity}, expected a share in 0..1")
        self.output, self.solidity = output, solidity

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        if array.dtype == bool:
            hulls = [self._hulls(label(channel, 2)) > 0 for channel in array]
            return prediction | {self.output: np.stack(hulls).reshape(array.shape) | array}
        hulls = self._hulls(array)
        return prediction | {self.output: np.where(array > 0, array, hulls).astype(array.dtype)}

    def _hulls(self, labels: np.ndarray) -> np.ndarray:
        result = np.zeros(labels.shape, np.int32)
        rows, columns = np.nonzero(labels)
        ids = labels[rows, columns]
        order = np.argsort(ids, kind="stable")
        points = np.stack([columns, rows], axis=1)[order].astype(np.int32)
        names, starts = np.unique(ids[order], return_index=True)
        for name, own in zip(names.tolist(), np.split(points, starts[1:]), strict=True):
            hull = cv2.convexHull(own)
            corner = own.min(0)
            inside = np.zeros(tuple((own.max(0) - corner + 1)[::-1]), np.uint8)
            cv2.fillConvexPoly(inside, hull - corner, 1)
            if len(own) >= self.solidity * np.count_nonzero(inside):
                part = result[corner[1] : corner[1] + inside.shape[0], corner[0] : corner[0] + inside.shape[1]]
                part[inside > 0] = name
        return result

    def search_space(self) -> dict[str, list]:
        return {"solidity": [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0]}
