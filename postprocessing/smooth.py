"""Smoothing of masks and probabilities."""

from typing import Literal, get_args

import cv2
import numpy as np

from postprocessing.step import Step, require_array

Operation = Literal["open", "close", "median", "gaussian"]


class Smooth(Step):
    """Smooth masks, or probabilities before the threshold.

    `open` removes what a disc does not fit into, `close` fills gaps that it does not fit into; `median` takes the
    majority in a square; `gaussian` blurs probabilities.

    Args:
        operation: `open`, `close` or `median` for bool masks `(C, H, W)`, `gaussian` for probabilities.
        radius: radius of the disc in pixels; half side of the median square; standard deviation of the blur. 0 does
            nothing.
        output: name of the mask or probabilities.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Smooth
        >>> mask = np.zeros((1, 20, 20), bool)
        >>> mask[:, 4:14, 4:14] = True
        >>> mask[:, 17, 17] = True  # a speck
        >>> opened = Smooth("open", radius=2)({"mask": mask})["mask"]
        >>> bool(opened[0, 9, 9]), bool(opened[0, 17, 17])
        (True, False)
    """

    def __init__(self, operation: Operation = "open", radius: int = 2, output: str = "mask") -> None:
        if operation not in get_args(Operation) or radius < 0:
            raise ValueError(
                f"Smooth: operation is {operation!r}, radius {radius}; expected one of "
                f"{', '.join(get_args(Operation))}, radius 0 or more"
            )
        self.operation, self.radius, self.output = operation, radius, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = require_array(prediction, self.output, self)
        wanted = "f" if self.operation == "gaussian" else "b"
        if array.ndim != 3 or array.dtype.kind != wanted:
            kinds = {"f": "probabilities", "b": "a bool mask"}
            raise ValueError(
                f"Smooth {self.operation} expects {kinds[wanted]} (C, H, W) in {self.output!r}, got {array.dtype} "
                f"{array.shape}"
            )
        if not self.radius:
            return dict(prediction)
        return prediction | {self.output: np.stack([self._one(channel) for channel in array])}

    def _one(self, channel: np.ndarray) -> np.ndarray:
        if self.operation == "gaussian":
            return cv2.GaussianBlur(channel, (0, 0), self.radius, borderType=cv2.BORDER_REFLECT)
        mask, side = channel.astype(np.uint8), 2 * self.radius + 1
        if self.operation == "median":
            share = cv2.blur(mask.astype(np.float32), (side, side), borderType=cv2.BORDER_REFLECT)
            return share > 0.5
        distance = np.arange(-self.radius, self.radius + 1)
        disc = (distance[:, None] ** 2 + distance**2 <= self.radius**2).astype(np.uint8)
        # pixels outside the image neither erode nor grow
        kind = cv2.MORPH_OPEN if self.operation == "open" else cv2.MORPH_CLOSE
        return cv2.morphologyEx(mask, kind, disc) > 0

    def search_space(self) -> dict[str, list]:
        return {"radius": [0, 1, 2, 3, 5, 7]}
