"""Triplet threshold: a high threshold and an area decide whether, a low threshold where."""

import numpy as np

from postprocessing.step import Step, require_array


class TripletThreshold(Step):
    """Mask of probability > `bottom` if at least `area` pixels are above `top`, else empty.

    SIIM-ACR 2019, 1st place: (0.75, 2000, 0.3) was best in cross-validation, (0.7, 600, 0.3) on the leaderboard, both
    on 1024 x 1024 pixels. A high threshold decides whether there is a mask, a low one how large it is. Channels are
    independent.

    Args:
        top: threshold above which a pixel is certain.
        area: number of certain pixels that makes a channel positive; 0 or 1 for any.
        bottom: threshold of the mask in a positive channel.
        at: side of the square image that `area` refers to; it is then scaled to each image. None: pixels of the image
            itself.
        output: name of the probabilities `(C, H, W)`.
        result: name of the bool mask (default: replaces `output`).

    Raises:
        ValueError: `bottom` is above `top`, or `area` below 0.

    Example:
        >>> import numpy as np
        >>> from postprocessing import TripletThreshold
        >>> probabilities = np.array([[[0.9, 0.8, 0.4, 0.1]]], np.float32)
        >>> TripletThreshold(top=0.75, area=2, bottom=0.3)({"mask": probabilities})["mask"].astype(int)
        array([[[1, 1, 1, 0]]])
        >>> TripletThreshold(top=0.75, area=3, bottom=0.3)({"mask": probabilities})["mask"].astype(int)
        array([[[0, 0, 0, 0]]])
    """

    def __init__(
        self,
        top: float = 0.75,
        area: int = 2000,
        bottom: float = 0.3,
        at: int | None = None,
        output: str = "mask",
        result: str | None = None,
    ) -> None:
        if not 0 <= bottom <= top <= 1:
            raise ValueError(f"TripletThreshold: bottom {bottom} and top {top}, expected 0 <= bottom <= top <= 1")
        if area < 0 or (at is not None and at < 1):
            raise ValueError(f"TripletThreshold: area {area} and at {at}, expected area 0 or more, at 1 or more")
        self.top, self.area, self.bottom, self.at = top, area, bottom, at
        self.output, self.result = output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f" or probabilities.ndim < 3:
            raise ValueError(
                f"TripletThreshold expects probabilities (C, H, W) in {self.output!r}, got {probabilities.dtype} "
                f"{probabilities.shape}"
            )
        axes = tuple(range(1, probabilities.ndim))
        sure = np.count_nonzero(probabilities > self.top, axis=axes)
        scale = 1 if self.at is None else probabilities[0].size / self.at ** (probabilities.ndim - 1)
        positive = sure >= max(1, self.area * scale)
        mask = (probabilities > self.bottom) & positive.reshape(-1, *[1] * len(axes))
        return prediction | {self.result or self.output: mask}

    def search_space(self) -> dict[str, list]:
        middle = self.area or 20
        return {
            "top": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9],
            "area": sorted({0, *(round(middle * factor) for factor in (0.25, 0.5, 0.75, 1, 1.5, 2))}),
            "bottom": [0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5],
        }
