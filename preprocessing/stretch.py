"""Contrast stretching, for scanners without a calibrated scale."""

import numpy as np

from preprocessing.base import Preprocess, from_share, full_scale


class Stretch(Preprocess):
    """Stretch an image from two of its percentiles to the full range of its type.

    For magnetic resonance, whose values have no unit and a different scale in each scan (UW-Madison).

    Args:
        low: percentile that becomes 0 (default: 0, because air around the patient is dark in every scan).
        high: percentile that becomes white (default: 99.5, which ignores single bright pixels).
    """

    def __init__(self, low: float = 0.0, high: float = 99.5) -> None:
        if not 0 <= low < high <= 100:
            raise ValueError(f"Stretch: low is {low} and high is {high}, expected 0 <= low < high <= 100")
        self.low, self.high = low, high

    def image(self, image: np.ndarray) -> np.ndarray:
        white = full_scale(image)
        low, high = np.percentile(image, [self.low, self.high])
        share = (image.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
        return from_share(share, image, white)
