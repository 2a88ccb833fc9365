"""Object ids, of which there may be few but as large as 2^62."""

import numpy as np


def consecutive(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumber objects 1, 2, … in order of ids, int32, and return the original ids `(n,)`.

    Args:
        labels: ids `(…)` of any integer type and shape, 0 is background.

    Raises:
        ValueError: an id is below 0.
    """
    ids, _ = areas(labels)
    if len(ids) and ids[-1] == len(ids):  # consecutive already
        return labels.astype(np.int32, copy=False), ids
    return _looked_up(labels, ids, np.arange(1, len(ids) + 1, dtype=np.int32)), ids


def areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted ids of objects `(n,)` and their numbers of pixels `(n,)`; see `consecutive`."""
    if labels.dtype.kind == "i" and labels.min(initial=0) < 0:
        raise ValueError(f"instance id is {labels.min()}, expected 0 (background) or above")
    if _few(labels.max(initial=0), labels):
        counts = np.bincount(labels.ravel().astype(np.intp, copy=False))[1:]
        ids = np.flatnonzero(counts) + 1
        return ids, counts[ids - 1]
    ids, counts = np.unique(labels, return_counts=True)
    return ids[ids > 0], counts[ids > 0]


def only(labels: np.ndarray, ids: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Keep some objects of an instance map; the others become background.

    Args:
        labels: ids of any shape.
        ids: sorted ids of its objects `(n,)`, as from `areas`.
        kept: which of them to keep `(n,)` bool.
    """
    return labels if kept.all() else _looked_up(labels, ids, np.where(kept, ids, 0).astype(labels.dtype))


def _few(highest: int, labels: np.ndarray) -> bool:
    """Whether a lookup table up to the highest id is no larger than the array that would be sorted otherwise."""
    return int(highest) <= 4 * labels.size


def _looked_up(labels: np.ndarray, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Value of each pixel's id, 0 for background."""
    if not len(ids):
        return np.zeros(labels.shape, values.dtype)
    if not _few(ids[-1], labels):
        place = np.searchsorted(ids, labels)  # background is before the first id
        return np.where(labels > 0, values[np.minimum(place, len(ids) - 1)], values.dtype.type(0))
    table = np.zeros(int(ids[-1]) + 1, values.dtype)
    table[ids] = values
    return table[labels]
