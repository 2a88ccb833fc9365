"""Dice coefficient, per image and over the set."""

import numpy as np

from evaluation.metrics.overlap_metric import OverlapMetric


def dice(counted: np.ndarray, empty: float) -> np.ndarray:
    """2 |A ∩ B| / (|A| + |B|) of counts `(…, 3)`; `empty` where A and B are empty."""
    total = counted[..., 1] + counted[..., 2]
    return np.where(total > 0, 2 * counted[..., 0] / np.maximum(total, 1), empty)


class DicePerImage(OverlapMetric):
    """Mean over images (and channels) of the Dice coefficient: SIIM-ACR, Clouds, Carvana.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        target: name of the mask in the target (default: `output`).
        empty: score of an image with empty target and prediction (default: 1.0, as in the competitions above). `.nan`
            excludes such images from the mean; images without any valid pixel are always excluded.
        classes: number of classes if masks are class numbers; the mean then runs over the classes.
        ignore: target value of pixels to ignore (default: 255 for class numbers). Pixels that a target or reader
            declares void (`valid`) are always ignored.

    Example:
        >>> import numpy as np
        >>> from evaluation import DicePerImage
        >>> predicted = np.array([[[1, 1], [0, 0]]], bool)  # (C, H, W)
        >>> true = np.array([[[1, 0], [0, 0]]], bool)
        >>> nothing = np.zeros((1, 2, 2), bool)
        >>> metric = DicePerImage()
        >>> pairs = (predicted, true), (nothing, nothing)
        >>> rows = [metric.image({"mask": one}, {"mask": other}) for one, other in pairs]
        >>> round(metric.reduce(np.stack(rows)), 3)  # mean of 2 · 1 / (2 + 1) and, of the empty image, 1
        0.833
    """

    per_image = True

    def coefficient(self, counted: np.ndarray, empty: float) -> np.ndarray:
        return dice(counted, empty)


class DiceGlobal(OverlapMetric):
    """Dice coefficient over all pixels of the set, averaged over channels.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        target: name of the mask in the target (default: `output`).
        empty: score of a channel with empty target and prediction in the whole set; `.nan` excludes it.
        classes: number of classes if masks are class numbers.
        ignore: target value of pixels to ignore (default: 255 for class numbers). Pixels that a target or reader
            declares void (`valid`) are always ignored.

    Example:
        >>> import numpy as np
        >>> from evaluation import DiceGlobal
        >>> predicted = np.array([[[1, 1], [0, 0]]], bool)  # (C, H, W)
        >>> true = np.array([[[1, 0], [0, 0]]], bool)
        >>> nothing = np.zeros((1, 2, 2), bool)
        >>> metric = DiceGlobal()
        >>> pairs = (predicted, true), (nothing, nothing)
        >>> rows = [metric.image({"mask": one}, {"mask": other}) for one, other in pairs]
        >>> round(metric.reduce(np.stack(rows)), 3)  # 2 · 1 / (2 + 1) over all pixels
        0.667
    """

    per_image = False

    def coefficient(self, counted: np.ndarray, empty: float) -> np.ndarray:
        return dice(counted, empty)
