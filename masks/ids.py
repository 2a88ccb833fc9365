"""Ids of objects, which may be as few as 3 or as large as 2^62."""

import numpy as np


def consecutive(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same objects numbered 1, 2, … by rising id, int32, and the id that each had `(n,)`.

    Args:
        labels: ids of any integer type and shape, 0 is background.

    Raises:
        ValueError: ids below 0.
    """
    ids, _ = areas(labels)
    if len(ids) and ids[-1] == len(ids):  # they are consecutive already
        return labels.astype(np.int32, copy=False), ids
    return _looked_up(labels, ids, np.arange(1, len(ids) + 1, dtype=np.int32)), ids


def areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids of objects `(n,)`, rising, and how many pixels each has `(n,)`; see `consecutive`."""
    if labels.dtype.kind == "i" and labels.min(initial=0) < 0:
        raise ValueError(f"instances are ids of 0 (background) and above, found {labels.min()}")
    if _few(labels.max(initial=0), labels):
        counts = np.bincount(labels.ravel().astype(np.intp, copy=False))[1:]
        ids = np.flatnonzero(counts) + 1
        return ids, counts[ids - 1]
    ids, counts = np.unique(labels, return_counts=True)
    return ids[ids > 0], counts[ids > 0]


def only(labels: np.ndarray, ids: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The label image with some of its objects; the others become background.

    Args:
        labels: ids of any shape.
        ids: those of its objects `(n,)`, rising, as `areas` gives them.
        kept: which of them stay `(n,)` bool.
    """
    return labels if kept.all() else _looked_up(labels, ids, np.where(kept, ids, 0).astype(labels.dtype))


def _few(highest: int, labels: np.ndarray) -> bool:
    """Whether a table of all numbers up to the highest is no larger than what would be sorted without it."""
    return int(highest) <= 4 * labels.size


def _looked_up(labels: np.ndarray, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each pixel's id, 0 for background."""
    if not len(ids):
        return np.zeros(labels.shape, values.dtype)
    if not _few(ids[-1], labels):
        place = np.searchsorted(ids, labels)  # background lies before the first id
        return np.where(labels > 0, values[np.minimum(place, len(ids) - 1)], values.dtype.type(0))
    table = np.zeros(int(ids[-1]) + 1, values.dtype)
    table[ids] = values
    return table[labels]
