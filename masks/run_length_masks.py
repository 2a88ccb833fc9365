"""Masks as runs of pixels, which may overlap and need little memory: fifty cells of 2048² pixels."""

import numpy as np


def runs_of(labels: np.ndarray) -> list[np.ndarray]:
    """Runs of each instance, column by column: `(2, R)` int64, first pixel and the one after the last.

    Args:
        labels: ids `(H, W)`, 0 = background; entry i - 1 of the result is id i, `(2, 0)` if it does not occur.

    Raises:
        ValueError: anything but integer ids of 0 and above.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"instances are {labels.dtype} {labels.shape}, expected integer ids (H, W)")
    if not labels.size:
        return []
    flat = np.ascontiguousarray(labels.T).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    runs, ids = np.stack([starts, np.append(starts[1:], flat.size)]), flat[starts].astype(np.int64)
    if ids.min() < 0:
        raise ValueError(f"instance id is {ids.min()}, expected 0 (background) or above")
    order = np.argsort(ids, kind="stable")
    runs, ids = runs[:, order], ids[order]
    borders = np.searchsorted(ids, np.arange(1, ids.max(initial=0) + 2))
    return [runs[:, first:last] for first, last in zip(borders[:-1], borders[1:], strict=True)]


def runs_that_count(masks: list[np.ndarray], valid: np.ndarray) -> list[np.ndarray]:
    """Runs of masks within the valid pixels, which are renumbered without the void ones.

    Args:
        masks: runs `(2, R)` of each mask, column by column.
        valid: valid pixels, bool `(H, W)`.
    """
    before = np.concatenate([[0], np.cumsum(valid.T.ravel() > 0)])
    kept = [before[runs] for runs in masks]
    return [runs[:, runs[0] < runs[1]] for runs in kept]


def area(runs: np.ndarray) -> int:
    """Number of pixels of a mask."""
    return int((runs[1] - runs[0]).sum())


def mask_overlaps(predicted: list[np.ndarray], true: list[np.ndarray]) -> np.ndarray:
    """IoU of every predicted mask with every true one, `(predicted, true)` float64.

    Args:
        predicted: runs `(2, R)` of each mask, rising, without overlap.
        true: runs of each true mask, in the same format.
    """
    shared = np.zeros((len(predicted), len(true)))
    if shared.size:
        everything = np.concatenate(predicted, axis=1)
        begins = np.cumsum([0, *(runs.shape[1] for runs in predicted)])
        for column, runs in enumerate(true):
            inside = _covered(runs, everything[1]) - _covered(runs, everything[0])
            sums = np.concatenate([[0], np.cumsum(inside)])
            shared[:, column] = sums[begins[1:]] - sums[begins[:-1]]
    sizes = np.array([area(runs) for runs in predicted]), np.array([area(runs) for runs in true])
    total = sizes[0].reshape(-1, 1) + sizes[1].reshape(1, -1) - shared
    return np.divide(shared, total, out=np.zeros(shared.shape), where=total > 0)


def _covered(runs: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Number of pixels of the mask before each place."""
    sums = np.concatenate([[0], np.cumsum(runs[1] - runs[0])])
    begun = np.searchsorted(runs[0], places, side="right")
    ends = np.concatenate([[0], runs[1]])
    return sums[begun] - np.maximum(ends[begun] - places, 0) * (begun > 0)
