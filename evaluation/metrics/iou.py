"""Intersection over union (Jaccard), per image and over the set."""

import numpy as np

from evaluation.metrics.overlap_metric import OverlapMetric


def iou(counted: np.ndarray, empty: float) -> np.ndarray:
    """|A ∩ B| / |A ∪ B| of counts `(…, 3)`; `empty` where both are empty."""
    total = counted[..., 1] + counted[..., 2] - counted[..., 0]
    return np.where(total > 0, counted[..., 0] / np.maximum(total, 1), empty)


class IoUPerImage(OverlapMetric):
    """Mean over images (and channels) of intersection over union.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        truth: name of the truth; the same as `output` unless given.
        empty: score of an image without truth and without prediction; 1.0, the usual convention.
            `.nan` leaves such images out of the mean, as those always are of which no pixel counts.
        classes: number of classes when masks are class numbers; the mean then runs over the classes.
        ignore: value of the truth that marks pixels which do not count; of class numbers 255 unless given. What a
            target or a reader has declared so (`valid`) never counts, whatever this is.

    Example:
        >>> import numpy as np
        >>> from evaluation import IoUPerImage
        >>> predicted = np.array([[[1, 1], [0, 0]]], bool)  # (C, H, W)
        >>> true = np.array([[[1, 0], [0, 0]]], bool)
        >>> nothing = np.zeros((1, 2, 2), bool)
        >>> metric = IoUPerImage()
        >>> pairs = (predicted, true), (nothing, nothing)
        >>> rows = [metric.image({"mask": one}, {"mask": other}) for one, other in pairs]
        >>> round(metric.reduce(np.stack(rows)), 3)  # mean of 1 / 2 and, of the empty image, 1
        0.75
    """

    per_image = True

    def coefficient(self, counted: np.ndarray, empty: float) -> np.ndarray:
        return iou(counted, empty)


class IoUGlobal(OverlapMetric):
    """Intersection over union of all pixels of the set at once, mean over channels.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        truth: name of the truth; the same as `output` unless given.
        empty: score of a channel that is empty in the whole set, in truth and prediction; `.nan` leaves it out.
        classes: number of classes when masks are class numbers.
        ignore: value of the truth that marks pixels which do not count; of class numbers 255 unless given. What a
            target or a reader has declared so (`valid`) never counts, whatever this is.

    Example:
        >>> import numpy as np
        >>> from evaluation import IoUGlobal
        >>> predicted = np.array([[[1, 1], [0, 0]]], bool)  # (C, H, W)
        >>> true = np.array([[[1, 0], [0, 0]]], bool)
        >>> nothing = np.zeros((1, 2, 2), bool)
        >>> metric = IoUGlobal()
        >>> pairs = (predicted, true), (nothing, nothing)
        >>> rows = [metric.image({"mask": one}, {"mask": other}) for one, other in pairs]
        >>> round(metric.reduce(np.stack(rows)), 3)  # 1 / 2 over all pixels
        0.5
    """

    per_image = False

    def coefficient(self, counted: np.ndarray, empty: float) -> np.ndarray:
        return iou(counted, empty)
