"""Bodies of instances, and the borders where two of them touch."""

import cv2
import numpy as np

from datamodules.targets.base import Target
from masks.ids import consecutive


class TouchingBorders(Target):
    """`body` and `border` masks from instance ids, for networks whose instances are separated by a watershed.

    The border is every pixel, of a cell or of the gap, with two different instances within `width` pixels (2018 Data
    Science Bowl, 1st place: borders only where nuclei touch or nearly touch).

    Args:
        source: name of the instance ids `(H, W)`.
        width: radius in pixels; 2 gives borders about 4 pixels wide.
        body: name of the foreground mask, uint8 `(1, H, W)`.
        border: name of the border mask, uint8 `(1, H, W)`.
    """

    def __init__(self, source: str = "instances", width: int = 2, body: str = "body", border: str = "border") -> None:
        if width < 1:
            raise ValueError(f"TouchingBorders: width is {width}, expected 1 or more pixels")
        self.source, self.width, self.body, self.border = source, width, body, border

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.source not in sample:
            raise ValueError(
                f"TouchingBorders needs {self.source!r}, but the sample has only {sorted(sample)}; set source"
            )
        labels, top = sample[self.source], 65535
        if labels.max(initial=0) < top:
            labels = labels.astype(np.uint16)
        else:  # OpenCV's next type that can hold the number of every object
            labels, top = consecutive(labels)[0].astype(np.float64), np.inf
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self.width + 1, 2 * self.width + 1))
        # Two instances are near where the largest id within the radius differs from the smallest nonzero one.
        largest = cv2.dilate(labels, kernel)
        smallest = cv2.erode(np.where(labels == 0, labels.dtype.type(top), labels), kernel)
        near = (largest > 0) & (smallest < top) & (largest != smallest)
        return {self.body: (labels > 0).astype(np.uint8)[None], self.border: near.astype(np.uint8)[None]}
