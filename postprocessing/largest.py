"""Selection of the largest objects."""

import numpy as np

from masks.components import label
from masks.ids import areas, only
from postprocessing.step import Step, mask_or_instances


class LargestComponents(Step):
    """Keep the largest components of each channel of a mask, or the largest instances of an image.

    For example one car (Carvana), organs in CT slices, or two kidneys. Ties go to the first.

    Args:
        count: number of objects to keep.
        output: name of a bool mask `(C, H, W)`, with components joined by edges, or of instance ids `(H, W)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import LargestComponents
        >>> mask = np.array([[[1, 1, 1, 0, 1]]], bool)
        >>> LargestComponents()({"mask": mask})["mask"].astype(int)
        array([[[1, 1, 1, 0, 0]]])
    """

    def __init__(self, count: int = 1, output: str = "mask") -> None:
        if count < 1:
            raise ValueError(f"LargestComponents: count is {count}, expected 1 or more")
        self.count, self.output = count, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        if array.dtype == bool:
            kept = np.stack([self._largest(label(channel)) > 0 for channel in array])
            return prediction | {self.output: kept.reshape(array.shape)}
        return prediction | {self.output: self._largest(array)}

    def search_space(self) -> dict[str, list]:
        return {"count": sorted({1, 2, 3, 5, self.count})}

    def _largest(self, labels: np.ndarray) -> np.ndarray:
        ids, sizes = areas(labels)
        kept = np.zeros(len(ids), bool)
        kept[np.argsort(-sizes, kind="stable")[: self.count]] = True
        return only(labels, ids, kept)
