"""Bring masks to the size that a competition asks for."""

import cv2
import numpy as np

from postprocessing.step import Step, named


class Resize(Step):
    """Another size for a mask, instance ids or probabilities.

    Masks and ids take the nearest pixel, probabilities the mean of the pixels where the picture shrinks and linear
    interpolation where it grows. Resizing the probabilities, before the threshold, keeps smooth edges.

    Args:
        size: height and width in pixels: [350, 525] in Understanding Clouds.
        output: a mask bool `(C, H, W)`, class numbers or instance ids `(H, W)`, or probabilities `(C, H, W)`.
        result: name of what comes out; takes the place of `output` unless given.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Resize
        >>> Resize([2, 2])({"mask": np.eye(4, dtype=bool)[None]})["mask"].shape
        (1, 2, 2)
    """

    def __init__(self, size: list[int], output: str = "mask", result: str | None = None) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"Resize: size is {size}, expected [height, width] in pixels")
        self.size, self.output, self.result = size, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = named(prediction, self.output, self)
        if array.ndim not in (2, 3):
            raise ValueError(f"Resize wants (H, W) or (C, H, W) in {self.output!r}, got {array.shape}")
        height, width = self.size
        if array.dtype.kind != "f":
            resized = nearest(array, (height, width))
        else:
            shrinks = height <= array.shape[-2] and width <= array.shape[-1]
            planes = array.reshape(-1, *array.shape[-2:]).astype(np.float32)
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized = np.stack([cv2.resize(plane, (width, height), interpolation=how) for plane in planes])
            resized = resized.reshape(*array.shape[:-2], height, width)
        return prediction | {self.result or self.output: resized}


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`(…, H, W)` of any type at another size: the pixel in which the new pixel's centre lies."""
    height, width = array.shape[-2:]
    down = (2 * np.arange(size[0]) + 1) * height // (2 * size[0])
    across = (2 * np.arange(size[1]) + 1) * width // (2 * size[1])
    return array[..., down[:, None], across]
