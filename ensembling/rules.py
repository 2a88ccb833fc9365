"""Averages of the probabilities of several members, value by value."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from predictions.quantiser import ROUNDING

Average = Literal["mean", "geometric", "harmonic", "logit"]
CHUNK = 1 << 16  # values at a time: members and temporaries of a stretch stay in the caches


def average(
    arrays: Sequence[np.ndarray],
    rule: Average = "mean",
    weights: Sequence[float] | np.ndarray | None = None,
    floor: float = 1e-3,
) -> np.ndarray:
    """Weighted average, of the values themselves or of a function of them.

    - `mean`: arithmetic; the only one that takes values outside 0..1 (embeddings, grades).
    - `geometric`: one doubtful member lowers it most (Camera identification 2018, 2nd place: better than all others
      over 27 checkpoints). (0.25, 1) -> 0.5.
    - `harmonic`: the same, stronger. (0.25, 1) -> 0.4.
    - `logit`: mean of the log odds; sure members count more, towards 0 and 1 alike. (0.2, 0.8) -> 0.5.

    Args:
        arrays: a member each, of one shape `(C, …)`; probabilities 0..1 unless the rule is `mean`.
        rule: see above.
        weights: of the members, not negative; they need not sum to 1. None: equal.
        floor: probabilities are taken as at least this (for `logit` also as at most 1 - floor), or one 0 would
            outvote all. 0.001 is the middle of what a store in bytes keeps as 0.

    Returns:
        float32; a `mean` is never outside the members' own range, another average never outside 0..1.

    Raises:
        ValueError: shapes differ, weights do not fit, or values that the rule cannot take.
    """
    checked = normalised(weights, len(arrays))
    _same_shape(arrays)
    if rule != "mean":
        _probabilities(arrays, rule)
    forward, backward = _functions(rule, floor)

    def chunk(parts: list[np.ndarray]) -> np.ndarray:
        total = np.zeros_like(parts[0])
        for part, weight in zip(parts, checked.astype(np.float32), strict=True):
            total += forward(part) * weight
        # Rounding must not lift a probability above 1; the floor may well lift a 0.
        low, high = (min(part.min() for part in parts), max(part.max() for part in parts)) if rule == "mean" else (0, 1)
        return np.clip(backward(total), low, high, out=total)

    return by_chunks(arrays, chunk)


def median(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Middle value of the members (of an even number the mean of the two in the middle), float32."""
    _same_shape(arrays)
    return by_chunks(arrays, lambda parts: np.median(np.stack(parts), axis=0))


def maximum(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Largest value of the members, float32."""
    _same_shape(arrays)
    return by_chunks(arrays, np.maximum.reduce)


def sum_to_one(array: np.ndarray) -> np.ndarray:
    """Probabilities `(C, …)` divided by their sum over the classes; all 0 become equal.

    Of a softmax every mean but the arithmetic one no longer sums to 1.
    """
    total = array.sum(axis=0, keepdims=True)
    return np.where(total > 0, array / np.where(total > 0, total, 1), 1 / len(array)).astype(np.float32)


def normalised(weights: Sequence[float] | np.ndarray | None, members: int) -> np.ndarray:
    """Weights `(M,)` that sum to 1.

    Raises:
        ValueError: there are no members, another number of weights, or they are negative, not finite or all 0.
    """
    if not members:
        raise ValueError("nothing to average: no member is given")
    given = np.ones(members) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (members,):
        raise ValueError(f"{given.size} weights for {members} members; give one each")
    if not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise ValueError(f"weights are {given.tolist()}; expected finite numbers of at least 0, not all 0")
    return given / given.sum()


def by_chunks(arrays: Sequence[np.ndarray], function: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
    """A function of single values, applied to a stretch of all members at a time; float32 of their shape."""
    flat = [np.ascontiguousarray(array, np.float32).reshape(-1) for array in arrays]
    result = np.empty(flat[0].size, np.float32)
    for start in range(0, result.size, CHUNK):
        result[start : start + CHUNK] = function([part[start : start + CHUNK] for part in flat])
    return result.reshape(arrays[0].shape)


def _functions(rule: str, floor: float) -> tuple[Callable, Callable]:
    """What is averaged, and its inverse."""
    if rule == "mean":
        return (lambda x: x), (lambda x: x)
    if not 0 < floor < 0.5:
        raise ValueError(f"floor is {floor}, expected a probability above 0 and below 0.5")
    if rule == "geometric":
        return (lambda x: np.log(np.maximum(x, floor))), np.exp
    if rule == "harmonic":
        return (lambda x: 1 / np.maximum(x, floor)), (lambda x: 1 / x)
    if rule == "logit":

        def log_odds(x: np.ndarray) -> np.ndarray:
            x = np.clip(x, floor, 1 - floor)
            return np.log(x / (1 - x))

        return log_odds, (lambda x: 1 / (1 + np.exp(-x)))
    raise ValueError(f"no average {rule!r}; there are mean, geometric, harmonic and logit")


def _same_shape(arrays: Sequence[np.ndarray]) -> None:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"members have the shapes {sorted(shapes)}; resize them to one first")


def _probabilities(arrays: Sequence[np.ndarray], rule: str) -> None:
    for array in arrays:
        if array.size and (array.min() < 0 or array.max() > 1 + ROUNDING):
            raise ValueError(
                f"values {array.min():.3g} to {array.max():.3g}: a {rule} mean takes probabilities 0..1; use mean"
            )
