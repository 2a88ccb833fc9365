"""Hysteresis thresholding."""

import cv2
import numpy as np

from postprocessing.step import Step, require_array


class HysteresisThreshold(Step):
    """Keep components of probability > `low` that contain a pixel > `high`, per channel (Canny 1986).

    Args:
        low: threshold that every pixel of the mask exceeds.
        high: threshold that at least one pixel of each component exceeds.
        connectivity: 1 joins pixels at edges, 2 also at corners.
        output: name of the probabilities `(C, H, W)`.
        result: name of the bool mask (default: replaces `output`).

    Raises:
        ValueError: `low` is above `high`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import HysteresisThreshold
        >>> probabilities = np.array([[[0.4, 0.7, 0.4, 0.1, 0.4]]], np.float32)
        >>> HysteresisThreshold(low=0.3, high=0.6)({"mask": probabilities})["mask"]
        array([[[ True,  True,  True, False, False]]])
    """

    def __init__(
        self,
        low: float = 0.3,
        high: float = 0.6,
        connectivity: int = 1,
        output: str = "mask",
        result: str | None = None,
    ) -> None:
        if not 0 <= low <= high <= 1:
            raise ValueError(f"HysteresisThreshold: low {low} and high {high}, expected 0 <= low <= high <= 1")
        if connectivity not in (1, 2):
            raise ValueError(f"HysteresisThreshold: connectivity is {connectivity}, expected 1 or 2")
        self.low, self.high, self.connectivity = low, high, connectivity
        self.output, self.result = output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f" or probabilities.ndim != 3:
            raise ValueError(
                f"HysteresisThreshold expects probabilities (C, H, W) in {self.output!r}, got {probabilities.dtype} "
                f"{probabilities.shape}"
            )
        mask = np.stack([self._one(channel) for channel in probabilities])
        return prediction | {self.result or self.output: mask}

    def _one(self, channel: np.ndarray) -> np.ndarray:
        weak = (channel > self.low).view(np.uint8)
        count, labels = cv2.connectedComponents(weak, connectivity={1: 4, 2: 8}[self.connectivity])
        kept = np.zeros(count, bool)
        kept[labels[channel > self.high]] = True
        kept[0] = False
        return kept[labels]

    def search_space(self) -> dict[str, list]:
        return {"low": [0.1, 0.2, 0.3, 0.4, 0.5], "high": [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}
