"""Probabilities against the targets, from one histogram: thresholds, calibration, ranking."""

import numpy as np

from predictions.quantiser import LEVELS, to_steps

BINS = len(LEVELS)  # what a store in bytes tells apart


class ProbabilityHistogram:
    """Counts of positives and negatives by probability, for each channel of an output; grows image by image.

    Everything below comes from these counts, so memory does not grow with the images.

    Attributes:
        counts: `(C, 2, 256)` int64: pixels (or images) that are false and true, by round(255 * probability).
    """

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, 2, BINS), np.int64)

    def add(self, probabilities: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count one image.

        Args:
            probabilities: `(C, ...)` in 0..1.
            target: bool of the same shape.
            valid: `(...)` bool, what counts; all of it.
        """
        if probabilities.shape != target.shape or len(probabilities) != len(self.counts):
            raise ValueError(
                f"probabilities {probabilities.shape} and target {target.shape}, expected both to have "
                f"{len(self.counts)} channels and one shape"
            )
        places = to_steps(probabilities).astype(np.int64) + BINS * target.astype(np.int64)
        for channel, plane in enumerate(places):
            kept = plane.ravel() if valid is None else plane[valid]
            self.counts[channel] += np.bincount(kept, minlength=2 * BINS).reshape(2, BINS)

    def confusion(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """True positives, false positives, false negatives `(C, 256)` of "probability > k / 255", all images pooled."""
        above = self.counts[..., ::-1].cumsum(-1)[..., ::-1]
        above = np.concatenate([above[..., 1:], np.zeros_like(above[..., :1])], axis=-1)
        return above[:, 1], above[:, 0], self.counts[:, 1].sum(-1, keepdims=True) - above[:, 1]

    def dice(self) -> np.ndarray:
        """Dice coefficient (F1) of the pooled pixels at the thresholds k / 255, `(C, 256)`; NaN without positives."""
        hits, invented, missed = self.confusion()
        present = (hits + missed) > 0
        return np.where(present, 2 * hits / np.maximum(2 * hits + invented + missed, 1), np.nan)

    def auc(self) -> np.ndarray:
        """Area under the ROC curve `(C,)`: how often a positive has the higher probability; NaN without both kinds."""
        false, true = self.counts[:, 0].astype(np.float64), self.counts[:, 1].astype(np.float64)
        below = np.concatenate([np.zeros_like(false[:, :1]), false.cumsum(-1)[:, :-1]], axis=-1)
        pairs = false.sum(-1) * true.sum(-1)
        return np.where(pairs > 0, (true * (below + false / 2)).sum(-1) / np.maximum(pairs, 1), np.nan)

    def calibration(self, groups: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean probability, share of positives and share of all, by ranges of the probability: three `(C, groups)`.

        Guo et al. 2017 (https://arxiv.org/abs/1706.04599), 15 ranges as there; NaN where a range is empty.
        """
        member = np.minimum(np.arange(BINS) * groups // BINS, groups - 1)
        total = self.counts.sum(1).astype(np.float64)
        by_group = np.eye(groups)[member]
        number = total @ by_group
        with np.errstate(invalid="ignore"):
            mean = (total * LEVELS) @ by_group / number
            positive = self.counts[:, 1] @ by_group / number
        return mean, positive, number / np.maximum(number.sum(-1, keepdims=True), 1)

    def calibration_error(self) -> np.ndarray:
        """Expected calibration error `(C,)`: mean distance of probability and share of positives."""
        mean, positive, share = self.calibration()
        return np.nansum(np.abs(mean - positive) * share, axis=-1)

    def prevalence(self) -> np.ndarray:
        """Share of positives `(C,)`."""
        return self.counts[:, 1].sum(-1) / np.maximum(self.counts.sum((1, 2)), 1)


def channels_of(probabilities: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Target of an output as bool of its shape, and its valid pixels; None if they cannot be compared.

    Args:
        probabilities: `(C, ...)`.
        target: masks of that shape, or class numbers `(...)` (255 does not count), or ids `(H, W)` of one channel.
    """
    if target.shape == probabilities.shape:
        return target > (0.5 if target.dtype.kind == "f" else 0), None
    if target.shape in (probabilities.shape[1:], (1,)) and len(probabilities) > 1 and target.dtype.kind in "iu":
        numbers = target.reshape(probabilities.shape[1:])
        classes = np.arange(len(probabilities)).reshape(-1, *[1] * numbers.ndim)
        return numbers[None] == classes, numbers != 255
    if target.shape == probabilities.shape[1:] and len(probabilities) == 1:
        return target[None] > 0, None
    return None
