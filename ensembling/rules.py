"""Averages of the probabilities of several members, elementwise."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from predictions.quantiser import ROUNDING

Average = Literal["mean", "geometric", "harmonic", "logit"]
CHUNK = 1 << 16  # values at a time, so that members and temporaries stay in the CPU cache


def average(
    arrays: Sequence[np.ndarray],
    rule: Average = "mean",
    weights: Sequence[float] | np.ndarray | None = None,
    floor: float = 1e-3,
) -> np.ndarray:
    """Weighted average of values, or of a function of them.

    - `mean`: arithmetic; the only one for values outside 0..1 (embeddings, grades).
    - `geometric`: one doubtful member lowers it most (Camera identification 2018, 2nd place: better than all others
      over 27 checkpoints). (0.25, 1) -> 0.5.
    - `harmonic`: the same, stronger. (0.25, 1) -> 0.4.
    - `logit`: mean of the log odds; confident members count more, towards 0 and 1 alike. (0.2, 0.8) -> 0.5.

    Args:
        arrays: array of each member, of one shape `(C, …)`; probabilities 0..1 unless the rule is `mean`.
        rule: see above.
        weights: weight of each member, at least 0; the sum need not be 1 (default: equal).
        floor: smallest probability (for `logit` also the distance to 1), or a single 0 would outvote all others. 0.001
            is the middle of what a uint8 store rounds to 0.

    Returns:
        float32; a `mean` is within the range of the members, other averages within 0..1.

    Raises:
        ValueError: shapes differ, or weights or values are invalid.
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
        # Rounding must not raise a probability above 1; the floor may raise a 0.
        low, high = (min(part.min() for part in parts), max(part.max() for part in parts)) if rule == "mean" else (0, 1)
        return np.clip(backward(total), low, high, out=total)

    return by_chunks(arrays, chunk)


def median(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Median of the members (with an even number the mean of the middle two), float32."""
    _same_shape(arrays)
    return by_chunks(arrays, lambda parts: np.median(np.stack(parts), axis=0))


def maximum(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Maximum of the members, float32."""
    _same_shape(arrays)
    return by_chunks(arrays, np.maximum.reduce)


def sum_to_one(array: np.ndarray) -> np.ndarray:
    """Normalise probabilities `(C, …)` to sum 1 over the classes; all 0 become equal.

    Needed because only the arithmetic mean of softmax outputs sums to 1.
    """
    total = array.sum(axis=0, keepdims=True)
    return np.where(total > 0, array / np.where(total > 0, total, 1), 1 / len(array)).astype(np.float32)


def normalised(weights: Sequence[float] | np.ndarray | None, members: int) -> np.ndarray:
    """Normalise weights `(M,)` to sum 1.

    Raises:
        ValueError: no members, a wrong number of weights, or weights that are negative, not finite or all 0.
    """
    if not members:
        raise ValueError("found no member to average, expected one or more")
    given = np.ones(members) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (members,):
        raise ValueError(f"found {given.size} weights, expected {members}, one per member")
    if not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise ValueError(f"weights are {given.tolist()}; expected finite numbers ≥ 0, not all 0")
    return given / given.sum()


def by_chunks(arrays: Sequence[np.ndarray], function: Callable[[list[np.ndarray]], np.ndarray]) -> np.ndarray:
    """Apply an elementwise function to chunks of all members; float32 of their shape."""
    flat = [np.ascontiguousarray(array, np.float32).reshape(-1) for array in arrays]
    result = np.empty(flat[0].size, np.float32)
    for start in range(0, result.size, CHUNK):
        result[start : start + CHUNK] = function([part[start : start + CHUNK] for part in flat])
    return result.reshape(arrays[0].shape)


def _functions(rule: str, floor: float) -> tuple[Callable, Callable]:
    """The function to average, and its inverse."""
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
    raise ValueError(f"rule of averages is {rule!r}, expected mean, geometric, harmonic or logit")


def _same_shape(arrays: Sequence[np.ndarray]) -> None:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"members have the shapes {sorted(shapes)}; resize them to one shape first")


def _probabilities(arrays: Sequence[np.ndarray], rule: str) -> None:
    for array in arrays:
        if array.size and (array.min() < 0 or array.max() > 1 + ROUNDING):
            raise ValueError(
                f"values are {array.min():.3g} to {array.max():.3g}, a {rule} mean needs probabilities 0..1; use mean"
            )
