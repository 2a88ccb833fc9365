"""Ranks instead of probabilities: members with different calibration become comparable."""

import numpy as np

from predictions.quantiser import ROUNDING

LEVELS = 4080  # a multiple of 255, so that each level of a uint8 store has a bin of its own


class Ranks:
    """Share of smaller values, for one output of one member; filled in a first pass over the images.

    Labels `(C,)`: rank of an image among all images, per class, ties shared: (rank - 0.5) / N. Maps `(C, H, W)`: share
    of all pixels of all images with a smaller value (ties shared too), per channel; ranks within one image would create
    an object in every empty image. Memory: a number per image and class for labels, 4081 numbers per channel for maps.

    Values of maps are in 0..1 and distinguished in steps of 1/4080.
    """

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.histogram: np.ndarray | None = None

    def add(self, array: np.ndarray) -> None:
        """Add an image."""
        if array.ndim == 1:
            self.values.append(array.astype(np.float32))
            return
        if array.size and (array.min() < 0 or array.max() > 1 + ROUNDING):
            raise ValueError(
                f"values are {array.min():.3g} to {array.max():.3g}, ranks of maps need probabilities 0..1"
            )
        flat = _levels(array).reshape(len(array), -1)
        found = np.stack([np.bincount(channel, minlength=LEVELS + 1) for channel in flat])
        self.histogram = found if self.histogram is None else self.histogram + found

    def finish(self) -> None:
        """Sort the added values; call it before `rank`."""
        self.sorted = np.sort(np.stack(self.values), axis=0) if self.values else None
        self.values = []
        if self.histogram is not None:
            below = np.cumsum(self.histogram, axis=1) - self.histogram
            self.table = ((below + self.histogram / 2) / self.histogram.sum(axis=1, keepdims=True)).astype(np.float32)

    def rank(self, array: np.ndarray) -> np.ndarray:
        """Ranks of one image, float32 in 0..1, of the same shape."""
        if array.ndim == 1:
            if self.sorted is None:
                raise ValueError(f"no image-level values {array.shape} were added, so there are no ranks")
            columns = zip(self.sorted.T, array.astype(np.float32), strict=True)
            ends = [(np.searchsorted(c, v, "left"), np.searchsorted(c, v, "right")) for c, v in columns]
            return (np.array(ends, np.float32).sum(axis=1) / (2 * len(self.sorted))).astype(np.float32)
        return np.stack([row[level] for row, level in zip(self.table, _levels(array), strict=True)])


def _levels(array: np.ndarray) -> np.ndarray:
    return np.rint(array * np.float32(LEVELS)).astype(np.int64).clip(max=LEVELS)
