"""Masks of a given share of each image."""

import numpy as np

from postprocessing.step import Step, require_array


class QuantileThreshold(Step):
    """Keep the most probable share of the pixels of each channel, if they are above `min_threshold`.

    For networks whose probabilities rank pixels well but shift from image to image (another scanner, another season),
    so that no fixed threshold suits all. Images that may be empty need `min_threshold`, or a `Gate`.

    Args:
        share: share of the pixels of a channel that become mask, in 0..1. Pixels tied with the first one outside are
            left out, so that a constant image gives no mask.
        min_threshold: threshold that pixels must also exceed.
        output: name of the probabilities `(C, H, W)`.
        result: name of the bool mask (default: replaces `output`).

    Example:
        >>> import numpy as np
        >>> from postprocessing import QuantileThreshold
        >>> probabilities = np.array([[[0.1, 0.2], [0.3, 0.4]]], np.float32)
        >>> QuantileThreshold(share=0.25)({"mask": probabilities})["mask"].astype(int)
        array([[[0, 0],
                [0, 1]]])
    """

    def __init__(
        self, share: float = 0.1, min_threshold: float = 0.0, output: str = "mask", result: str | None = None
    ) -> None:
        if not (0 <= share <= 1 and 0 <= min_threshold <= 1):
            raise ValueError(f"QuantileThreshold: share {share}, min_threshold {min_threshold}; expected both in 0..1")
        self.share, self.min_threshold, self.output, self.result = share, min_threshold, output, result

    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        probabilities = require_array(prediction, self.output, self)
        if probabilities.dtype.kind != "f" or probabilities.ndim < 2:
            raise ValueError(
                f"QuantileThreshold expects probabilities (C, H, W) in {self.output!r}, got {probabilities.dtype} "
                f"{probabilities.shape}"
            )
        mask = probabilities > self.min_threshold
        flat = probabilities.reshape(len(probabilities), -1)
        outside = flat.shape[1] - round(self.share * flat.shape[1])
        if outside:
            highest_outside = np.partition(flat, outside - 1, axis=1)[:, outside - 1]
            mask &= probabilities > highest_outside.reshape(-1, *[1] * (probabilities.ndim - 1))
        return prediction | {self.result or self.output: mask}

    def search_space(self) -> dict[str, list]:
        shares = sorted({round(self.share * factor, 6) for factor in (0.5, 0.7, 0.85, 1, 1.2, 1.5, 2)})
        return {"share": [share for share in shares if share <= 1], "min_threshold": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]}
