"""Resizing to the size that a competition asks for."""

import cv2
import numpy as np

from postprocessing.step import Step, require_array


class Resize(Step):
    """Resize a mask, instance ids or probabilities.

    Masks and ids use the nearest pixel, probabilities area averaging when shrinking and linear interpolation when
    growing. Resizing the probabilities, before the threshold, keeps edges smooth.

    Args:
        size: height and width in pixels: [350, 525] in Understanding Clouds.
        output: name of a mask bool `(C, H, W)`, class numbers or ids `(H, W)`, or probabilities `(C, H, W)`.
        result: name of the resized array (default: replaces `output`).

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
        array = require_array(prediction, self.output, self)
        if array.ndim not in (2, 3):
            raise ValueError(f"Resize expects (H, W) or (C, H, W) in {self.output!r}, got {array.shape}")
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
    """Resize `(…, H, W)` of any type: each new pixel takes the value of the pixel that contains its centre."""
    height, width = array.shape[-2:]
    down = (2 * np.arange(size[0]) + 1) * height // (2 * size[0])
    across = (2 * np.arange(size[1]) + 1) * width // (2 * size[1])
    return array[..., down[:, None], across]
