"""Remove what is too small to be real."""

import numpy as np

from postprocessing.components import label
from postprocessing.step import Step, named


class MinimumArea(Step):
    """Remove objects, connected components or whole masks below an area.

    Args:
        pixels: smallest area that stays, in pixels of the original image.
        output: `instances` (ids `(H, W)`), or a bool mask `(C, H, W)` whose components are taken channel by channel.
        total: instead empty a channel whose whole mask is smaller (SIIM-ACR, 4th place: 800 pixels at 768²).
    """

    def __init__(self, pixels: int, output: str = "mask", total: bool = False) -> None:
        self.pixels, self.output, self.total = pixels, output, total

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = named(prediction, self.output, self)
        if array.dtype == bool:
            channels = [self._mask(channel) for channel in array]
            return prediction | {self.output: np.stack(channels)}
        if array.dtype.kind == "f":
            raise ValueError(
                f"MinimumArea wants a mask or instances, {self.output!r} holds probabilities: threshold it"
            )
        small = np.bincount(array.ravel()) < self.pixels
        small[0] = False
        return prediction | {self.output: np.where(small[array], 0, array)}

    def _mask(self, channel: np.ndarray) -> np.ndarray:
        if self.total:
            return channel if channel.sum() >= self.pixels else np.zeros_like(channel)
        labels = label(channel)
        keep = np.bincount(labels.ravel()) >= self.pixels
        keep[0] = False
        return keep[labels]

    def search_space(self) -> dict[str, list]:
        factors = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4)
        return {"pixels": sorted({0, *(round(self.pixels * factor) for factor in factors)})}
