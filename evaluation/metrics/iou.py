"""Intersection over union (Jaccard), per image and over the set."""

import numpy as np

from evaluation.metrics.overlap_metric import OverlapMetric


def iou(counted: np.ndarray, empty: float) -> np.ndarray:
    """|A ∩ B| / |A ∪ B| of counts `(…, 3)`; `empty` where A and B are empty."""
    total = counted[..., 1] + counted[..., 2] - counted[..., 0]
    return np.where(total > 0, counted[..., 0] / np.maximum(total, 1), empty)


class IoUPerImage(OverlapMetric):
    """Mean over images (and channels) of intersection over union.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        target: name of the mask in the target (default: `output`).
        empty: score of an image with empty target and prediction (default: 1.0, the usual convention). `.nan` excludes
            such images from the mean; images without any valid pixel are always excluded.
        classes: number of classes if masks are class numbers; the mean then runs over the classes.
        ignore: target value of pixels to ignore (default: 255 for class numbers). Pixels that a target or reader
            declares void (`valid`) are always ignored.

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
    """Intersection over union over all pixels of the set, averaged over channels.

    Args:
        output: name of the mask in the post-processed prediction; instance ids count as foreground above 0.
        target: name of the mask in the target (default: `output`).
        empty: score of a channel with empty target and prediction in the whole set; `.nan` excludes it.
        classes: number of classes if masks are class numbers.
        ignore: target value of pixels to ignore (default: 255 for class numbers). Pixels that a target or reader
            declares void (`valid`) are always ignored.

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
