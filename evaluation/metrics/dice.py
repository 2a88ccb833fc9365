"""The Dice coefficient, per image and over the set."""

import numpy as np

from evaluation.metrics.overlap_metric import OverlapMetric


def dice(counted: np.ndarray, empty: float) -> np.ndarray:
    """2 |A ∩ B| / (|A| + |B|) of counts `(…, 3)`; `empty` where both are empty."""
    total = counted[..., 1] + counted[..., 2]
    return np.where(total > 0, 2 * counted[..., 0] / np.maximum(total, 1), empty)


class DicePerImage(OverlapMetric):
    """Mean over images (and channels) of the Dice coefficient: SIIM-ACR, Clouds, Carvana.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        truth: name of the truth; the same as `output` unless given.
        empty: score of an image without truth and without prediction; 1.0, as the competitions above have it.
            `.nan` leaves such images out of the mean, as those always are of which no pixel counts.
        classes: number of classes when masks are class numbers; the mean then runs over the classes.
        ignore: value of the truth that marks pixels which do not count; of class numbers 255 unless given. What a
            target or a reader has declared so (`valid`) never counts, whatever this is.

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
    """Dice coefficient of all pixels of the set at once, mean over channels.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        truth: name of the truth; the same as `output` unless given.
        empty: score of a channel that is empty in the whole set, in truth and prediction; `.nan` leaves it out.
        classes: number of classes when masks are class numbers.
        ignore: value of the truth that marks pixels which do not count; of class numbers 255 unless given. What a
            target or a reader has declared so (`valid`) never counts, whatever this is.

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
