"""Each picture from black to white: scanners without a scale of their own."""

import numpy as np

from preprocessing.base import Preprocess, from_share, full_scale


class Stretch(Preprocess):
    """Stretch the values of a picture between two of its own percentiles to the full range of its type.

    For magnetic resonance, whose numbers have no unit and differ from scan to scan by their scale (UW-Madison).

    Args:
        low: percentile that becomes 0; 0, because the air around a patient is dark in every scan.
        high: percentile that becomes white; 99.5 leaves single bright pixels out of it.
    """

    def __init__(self, low: float = 0.0, high: float = 99.5) -> None:
        if not 0 <= low < high <= 100:
            raise ValueError(f"Stretch: low {low} and high {high}, expected 0 <= low < high <= 100")
        self.low, self.high = low, high

    def image(self, image: np.ndarray) -> np.ndarray:
        white = full_scale(image)
        low, high = np.percentile(image, [self.low, self.high])
        share = (image.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
        return from_share(share, image, white)
