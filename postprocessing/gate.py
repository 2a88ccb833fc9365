"""Masks gated by an image-level output."""

from typing import Literal

import numpy as np

from postprocessing.step import Step, factors, require_array


class Gate(Step):
    """Clear masks where an image-level output finds nothing, or weight them by it.

    SIIM-ACR's 4th place called an image empty if p(empty) > 0.4 or the mask had fewer than 800 pixels: `Gate(by:
    empty, value: 0.4)`, then `MinimumArea(pixels: 800, total: true)`. Its 8th place multiplied the pixel scores of
    networks trained on positives by the image score: `Gate(by: score, says: present, how: weigh)`, before the
    threshold.

    Args:
        by: name of the image-level probabilities `(1,)`, or `(C,)` with one per channel of the mask.
        value: threshold of `clear`: masks are cleared above it with `says: empty`, below it with `says: present`.
        says: event that the output is the probability of.
        how: `clear` empties masks (bool, or probabilities become 0); `weigh` multiplies probabilities by the
            probability that something is present.
        output: name of the mask bool or probabilities `(C, H, W)`, or of instance ids `(H, W)`.

    Example:
        >>> import numpy as np
        >>> from postprocessing import Gate
        >>> prediction = {"mask": np.ones((1, 2, 2), bool), "empty": np.array([0.6], np.float32)}
        >>> bool(Gate(by="empty", value=0.4)(prediction)["mask"].any())
        False
    """

    def __init__(
        self,
        by: str,
        value: float = 0.5,
        says: Literal["empty", "present"] = "empty",
        how: Literal["clear", "weigh"] = "clear",
        output: str = "mask",
    ) -> None:
        if says not in ("empty", "present") or how not in ("clear", "weigh"):
            raise ValueError(f"Gate: says {says!r}, how {how!r}; expected empty or present, clear or weigh")
        self.by, self.value, self.says, self.how, self.output = by, value, says, how, output

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array, score = require_array(prediction, self.output, self), require_array(prediction, self.by, self)
        channels = array.shape[0] if array.ndim == 3 else 1
        if score.ndim != 1 or len(score) not in (1, channels) or score.dtype.kind not in "fb":
            raise ValueError(
                f"Gate expects probabilities (1,) or ({channels},) in {self.by!r}, got {score.dtype} {score.shape}"
            )
        if self.how == "weigh":
            if array.dtype.kind != "f":
                raise ValueError(
                    f"Gate weighs probabilities, {self.output!r} is {array.dtype}; put Gate before Threshold"
                )
            score = factors(prediction, self.by, self).astype(np.float32)
            present = score if self.says == "present" else 1 - score
            return prediction | {self.output: array * present[:, None, None].astype(array.dtype)}
        score = score.astype(np.float32)
        open_ = score >= self.value if self.says == "present" else score <= self.value
        kept = np.where(open_[:, None, None] if array.ndim == 3 else open_[0], array, array.dtype.type(0))
        return prediction | {self.output: kept}

    def search_space(self) -> dict[str, list]:
        return {"value": [round(0.05 * step, 2) for step in range(1, 20)]} if self.how == "clear" else {}
