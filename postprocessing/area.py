"""Removal of small objects."""

import cv2
import numpy as np

from masks.components import label
from masks.ids import areas, only
from postprocessing.step import Step, mask_or_instances


class MinimumArea(Step):
    """Remove objects, connected components or whole masks below an area.

    Args:
        pixels: smallest area to keep, in pixels of the original image; or one per channel of a mask.
        output: `instances` (ids `(H, W)`), or a bool mask `(C, H, W)` whose components (joined by edges) are found per
            channel.
        total: compare the total area instead: clear a channel, or all instances, if it is smaller (SIIM-ACR, 4th
            place).

    Example:
        >>> import numpy as np
        >>> from postprocessing import MinimumArea
        >>> instances = np.array([[1, 1, 1, 0, 2], [1, 1, 1, 0, 0]], np.int32)
        >>> MinimumArea(3, output="instances")({"instances": instances})["instances"]
        array([[1, 1, 1, 0, 0],
               [1, 1, 1, 0, 0]], dtype=int32)
    """

    def __init__(self, pixels: int | list[int], output: str = "mask", total: bool = False) -> None:
        if pixels == [] or min(pixels if isinstance(pixels, list) else [pixels]) < 0:
            raise ValueError(f"MinimumArea: pixels is {pixels}, expected 0 or more")
        self.pixels, self.output, self.total = pixels, output, total

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = mask_or_instances(prediction, self.output, self)
        pixels = self._least(array)
        if self.total:
            together = np.count_nonzero(array, axis=(-2, -1))
            kept = np.where((together >= pixels)[..., None, None], array, array.dtype.type(0))
        elif array.dtype == bool:
            kept = np.stack([large_components(channel, least) for channel, least in zip(array, pixels, strict=True)])
        else:
            kept = without_small(array, int(pixels))
        return prediction | {self.output: kept.reshape(array.shape)}

    def _least(self, array: np.ndarray) -> np.ndarray:
        """Smallest area of each channel, or of instances."""
        if array.dtype != bool:
            if isinstance(self.pixels, list):
                raise ValueError(
                    f"MinimumArea: pixels is {self.pixels}, but {self.output!r} has instances; give one number"
                )
            return np.array(self.pixels)
        if isinstance(self.pixels, list) and len(self.pixels) != len(array):
            raise ValueError(
                f"MinimumArea: pixels has {len(self.pixels)} values, expected {len(array)}, one per channel"
            )
        return np.broadcast_to(np.array(self.pixels), len(array))

    def search_space(self) -> dict[str, list]:
        if not isinstance(self.pixels, list):
            return {"pixels": _around(self.pixels)}
        return {f"pixels[{number}]": _around(value) for number, value in enumerate(self.pixels)}


def _around(pixels: int) -> list[int]:
    middle = pixels or 20
    return sorted({0, *(round(middle * factor) for factor in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4))})


def large_components(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Remove components (joined by edges) of fewer pixels from a bool mask `(H, W)`."""
    if pixels <= 1 or not mask.any():
        return mask
    plane = mask.view(np.uint8) if mask.flags.c_contiguous else mask.astype(np.uint8)
    # Two-byte ids are counted and looked up faster. Ids start at pixels with background above and to the left.
    above_and_left = cv2.add(plane[:-1, 1:], plane[1:, :-1])
    begun = cv2.countNonZero(cv2.subtract(plane[1:, 1:], above_and_left)) + sum(plane.shape)
    if begun < 1 << 16:
        count, labels = cv2.connectedComponents(plane, connectivity=4, ltype=cv2.CV_16U)
        sizes = cv2.calcHist([labels], [0], None, [count], [0, count]).ravel()
    else:
        labels = label(mask)
        sizes = np.bincount(labels.ravel())
    kept = sizes >= pixels
    kept[0] = False
    return kept.take(np.asarray(labels))


def without_small(labels: np.ndarray, pixels: int) -> np.ndarray:
    """Remove instances of fewer pixels from ids `(H, W)`; the other ids are unchanged."""
    ids, sizes = areas(labels)
    return only(labels, ids, sizes >= pixels)
