"""Connected components."""

from typing import Literal

import cv2
import numpy as np


def label(mask: np.ndarray, connectivity: Literal[1, 2] = 1) -> np.ndarray:
    """Components of a bool mask `(H, W)` as int32 ids 1, 2, …; connectivity 1 joins at edges, 2 at corners too."""
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity={1: 4, 2: 8}[connectivity])
    return labels
