"""Filling of holes in masks and instances."""

import cv2
import numpy as np

from masks.components import label
from postprocessing.step import Step, mask_or_instances


def holes(mask: np.ndarray, max_area: int | None = None) -> np.ndarray:
    """Holes of a bool mask `(H, W)` as int32 ids: background that does not reach the border.

    Args:
        mask: bool mask `(H, W)`; pixels that touch at a corner close a ring.
        max_area: largest hole to return, in pixels; None: no limit.
    """
    background = label(np.pad(~mask, 1, constant_values=True))
    sizes = np.bincount(background.ravel())
    inside = np.ones(len(sizes), bool)
    inside[[0, background[0, 0]]] = False
    if max_area is not None:
        inside &= sizes <= max_area
    background = background[1:-1, 1:-1]
    return np.where(inside[background], background, 0)


class FillHoles(Step):
    """Fill background enclosed by the mask, or by a single instance.

    Args:
        output: name of a bool mask `(C, H, W)`, or of instance ids `(H, W)`. A gap enclosed by several instances stays;
            other instances inside a hole stay too.
        max_area: largest hole to fill, in pixels; None: no limit.

    Example:
        >>> import numpy as np
        >>> from postprocessing import FillHoles
        >>> mask = np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], bool)
        >>> bool(FillHoles()({"mask": mask})["mask"].all())
        True
    """

    def __init__(self, output: str = "mask", max_area: int | None = None) -> None:
        self.output, self.max_area = output, max_area

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        if array.dtype == bool:
            filled = [self._filled(channel) for channel in array]
            return prediction | {self.output: np.stack(filled).reshape(array.shape)}
        return prediction | {self.output: fill_instances(array, self.max_area)}

    def _filled(self, mask: np.ndarray) -> np.ndarray:
        return filled(mask) if self.max_area is None else mask | (holes(mask, self.max_area) > 0)


def filled(mask: np.ndarray) -> np.ndarray:
    """Fill all holes of a bool mask `(H, W)`: what a flood from outside does not reach."""
    plane = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(plane, None, (0, 0), 2)
    return plane[1:-1, 1:-1] != 2


def fill_instances(labels: np.ndarray, max_area: int | None = None) -> np.ndarray:
    """Fill holes enclosed by one instance of ids `(H, W)` with its id."""
    hole = holes(labels > 0, max_area)
    if not hole.any():
        return labels
    from scipy.ndimage import find_objects

    hole_ids, instances = _neighbours(hole, labels)
    owner = np.zeros(int(hole.max()) + 1, labels.dtype)
    alone = np.bincount(hole_ids)[hole_ids] == 1
    owner[hole_ids[alone]] = instances[alone]
    # A hole with several neighbours: one may enclose the hole and the others as islands in it.
    hole_boxes, instance_boxes = (find_objects(hole), find_objects(labels)) if not alone.all() else ([], [])
    for number, instance in zip(hole_ids[~alone], instances[~alone], strict=True):
        box = instance_boxes[instance - 1]
        if all(
            one.start < two.start and two.stop < one.stop for one, two in zip(box, hole_boxes[number - 1], strict=True)
        ):
            enclosed = holes(labels[box] == instance) > 0
            if enclosed[hole[box] == number].all():
                owner[number] = instance
    return np.where(hole > 0, owner[hole], labels)


def _neighbours(hole: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique pairs of a hole and an instance that share an edge: two arrays `(P,)`."""
    pairs = []
    for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        for here, there in ((one, other), (other, one)):
            touching = (hole[here] > 0) & (labels[there] > 0)
            pairs.append(np.stack([hole[here][touching], labels[there][touching].astype(np.int64)]))
    hole_ids, instances = np.unique(np.concatenate(pairs, axis=1), axis=1)
    return hole_ids, instances
