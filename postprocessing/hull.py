"""Convex hulls of objects."""

import cv2
import numpy as np

from masks.components import label
from postprocessing.step import Step, mask_or_instances


class ConvexHull(Step):
    """Replace each component of a mask, or each instance, by its convex hull.

    Carvana 2017, 5th place: hulls and filled holes gained 0.0002. A hull contains the pixels whose centres are in or on
    the convex hull of the centres of the object's pixels. Pixels of instances are unchanged where hulls overlap them;
    where only hulls overlap, the larger id wins.

    Args:
        output: name of a bool mask `(C, H, W)`, with components joined by edges and corners, or of ids `(H, W)`.
        solidity: smallest share of its hull that an object must fill to be replaced; 0 replaces all. A bent object is
            not meant to be convex.

    Example:
        >>> import numpy as np
        >>> from postprocessing import ConvexHull
        >>> mask = np.array([[[1, 1, 1], [1, 0, 0], [1, 0, 0]]], bool)
        >>> ConvexHull()({"mask": mask})["mask"].astype(int)
        array([[[1, 1, 1],
                [1, 1, 0],
                [1, 0, 0]]])
    """

    def __init__(self, output: str = "mask", solidity: float = 0.0) -> None:
        if not 0 <= solidity <= 1:
            raise ValueError(f"ConvexHull: solidity is {solidity}, expected 0 to 1")
        self.output, self.solidity = output, solidity

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        if array.dtype == bool:
            hulls = [self._hulls(label(channel, 2)) > 0 for channel in array]
            return prediction | {self.output: np.stack(hulls).reshape(array.shape) | array}
        grown = self._hulls(array)
        return prediction | {self.output: np.where(array > 0, array, grown).astype(array.dtype)}

    def _hulls(self, labels: np.ndarray) -> np.ndarray:
        result = labels.copy()
        if not labels.any():
            return result
        rows, columns = np.nonzero(labels)
        ids = labels[rows, columns]
        order = np.argsort(ids, kind="stable")
        points = np.stack([columns, rows], axis=1)[order].astype(np.int32)
        names, starts = np.unique(ids[order], return_index=True)
        for name, own in zip(names.tolist(), np.split(points, starts[1:]), strict=True):
            if len(own) == 1:
                continue
            inside = hull_of(own)
            top, left = own[:, 1].min(), own[:, 0].min()
            if len(own) >= self.solidity * np.count_nonzero(inside):
                result[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = name
        return result

    def search_space(self) -> dict[str, list]:
        return {"solidity": [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0]}


def hull_of(points: np.ndarray) -> np.ndarray:
    """Pixels whose centres are in or on the convex hull of points, bool `(H, W)` of their bounding box.

    Args:
        points: one or more points `(N, 2)` int32 (column, row).
    """
    corners = cv2.convexHull(points)[:, 0].astype(np.int64) - points.min(0)
    width, height = (points.max(0) - points.min(0) + 1).tolist()
    first, last = np.full(height, width, np.int64), np.full(height, -1, np.int64)
    np.minimum.at(first, corners[:, 1], corners[:, 0])
    np.maximum.at(last, corners[:, 1], corners[:, 0])
    for (x, y), (to_x, to_y) in zip(corners, np.roll(corners, -1, 0), strict=True):
        if y == to_y:
            continue
        if y > to_y:
            x, y, to_x, to_y = to_x, to_y, x, y
        # crossing of the edge and each row, as an integer over to_y - y: exact, without rounding
        crossing = (to_x - x) * np.arange(to_y - y + 1)
        own = np.s_[y : to_y + 1]
        first[own] = np.minimum(first[own], x - (-crossing // (to_y - y)))
        last[own] = np.maximum(last[own], x + crossing // (to_y - y))
    columns = np.arange(width)
    return (columns >= first[:, None]) & (columns <= last[:, None])
