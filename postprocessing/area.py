"""Remove what is too small to be real."""

import numpy as np

from postprocessing.components import label
from postprocessing.step import Step, mask_or_instances


class MinimumArea(Step):
    """Remove objects, connected components or whole masks below an area.

    Args:
        pixels: smallest area that stays, in pixels of the original image.
        output: `instances` (ids `(H, W)`), or a bool mask `(C, H, W)` whose components (joined by edges) are taken
            channel by channel.
        total: instead empty a channel, or the whole label image, where everything in it together is smaller (SIIM-ACR,
            4th place).
    """

    def __init__(self, pixels: int, output: str = "mask", total: bool = False) -> None:
        if pixels < 0:
            raise ValueError(f"MinimumArea: pixels is {pixels}, expected 0 or more")
        self.pixels, self.output, self.total = pixels, output, total

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        if self.total:
            areas = np.count_nonzero(array, axis=(-2, -1))
            kept = np.where((areas >= self.pixels)[..., None, None], array, array.dtype.type(0))
        elif array.dtype == bool:
            kept = np.stack([without_small(label(channel), self.pixels) > 0 for channel in array])
        else:
            kept = without_small(array, self.pixels)
        return prediction | {self.output: kept.reshape(array.shape)}

    def search_space(self) -> dict[str, list]:
        middle = self.pixels or 20
        return {"pixels": sorted({0, *(round(middle * factor) for factor in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4))})}


def without_small(labels: np.ndarray, pixels: int) -> np.ndarray:
    """Instance ids `(H, W)` without those of fewer pixels; the ids of the others stay."""
    kept = np.bincount(labels.ravel()) >= pixels
    kept[0] = False
    return np.where(kept[labels], labels, labels.dtype.type(0))
