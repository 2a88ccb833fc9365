"""Votes of members after a threshold, and unions of masks that agree."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Fallback = Literal["none", "union"]


def vote(
    arrays: Sequence[np.ndarray],
    votes: int | None = None,
    threshold: float | Sequence[float] = 0.5,
    fallback: Fallback = "none",
    commonest: Sequence[int] = (),
) -> np.ndarray:
    """Majority vote: True where at least `votes` members are above the threshold.

    Inclusive Images 2018, 3rd place: a class needed 4 of 7 networks, an image without any class got the union of the
    networks' classes, and one that was still empty the three commonest classes.

    Args:
        arrays: probabilities or bool of each member, of one shape: labels `(C,)`, masks `(C, H, W)` or
            `(C, D, H, W)`.
        votes: number of members that must agree, capped at the number of members (default: more than half, so that a
            tie is not a majority).
        threshold: probability threshold per member; one number or one per class.
        fallback: for an image (labels), or a channel (masks), where nothing has enough votes: `union` of all members,
            or `none` for empty. For masks `none` is the default, because an empty mask is a valid answer.
        commonest: class numbers for an image whose labels are still empty.

    Returns:
        bool of the same shape.

    Raises:
        ValueError: no members, different shapes, fewer than 1 vote, invalid thresholds or classes.
    """
    counted = count(arrays, threshold)
    wanted = len(arrays) // 2 + 1 if votes is None else min(votes, len(arrays))
    if wanted < 1:
        raise ValueError(f"votes is {votes}, expected 1 or more")
    won = counted >= wanted
    if fallback == "union":
        # All labels of an image are one decision, each channel of a mask is one.
        empty = ~won.any(axis=0 if won.ndim == 1 else tuple(range(1, won.ndim)))
        won = np.where(empty if won.ndim == 1 else empty.reshape(-1, *[1] * (won.ndim - 1)), counted > 0, won)
    if len(commonest) and won.ndim == 1 and not won.any():
        if max(commonest) >= len(won) or min(commonest) < 0:
            raise ValueError(f"commonest classes are {list(commonest)}, expected 0 to {len(won) - 1}")
        won[list(commonest)] = True
    return won


def count(arrays: Sequence[np.ndarray], threshold: float | Sequence[float] = 0.5) -> np.ndarray:
    """Number of members above the threshold, uint16 of their shape."""
    if not arrays:
        raise ValueError("found no member to vote, expected one or more")
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"members have the shapes {sorted(shapes)}; resize them to one shape first")
    limit = np.asarray(threshold, np.float32)
    if limit.ndim:
        if len(limit) != len(arrays[0]):
            raise ValueError(f"found {len(limit)} thresholds, expected {len(arrays[0])}, one per class")
        limit = limit.reshape(-1, *[1] * (arrays[0].ndim - 1))
    total = np.zeros(arrays[0].shape, np.uint16)
    for array in arrays:
        total += array if array.dtype == bool else array > limit
    return total


def union_of_agreeing(
    arrays: Sequence[np.ndarray], dice: float = 0.7, least: int = 2, threshold: float | Sequence[float] = 0.5
) -> np.ndarray:
    """Union of masks that agree with others, without masks that agree with none (SIIM-ACR 2019, 11th place).

    Args:
        arrays: probabilities or bool `(C, H, W)` of each member; channels are independent.
        dice: smallest Dice coefficient of two masks that agree. Empty masks agree with nothing.
        least: smallest number of agreeing members, itself included, that a mask needs (default: 2, a pair).
        threshold: probability threshold of masks.

    Returns:
        bool of the same shape; empty if none agree.
    """
    if least < 1 or not 0 < dice <= 1:
        raise ValueError(f"least is {least} and dice {dice}; expected least ≥ 1 and 0 < dice <= 1")
    masks = np.stack([count([array], threshold) > 0 for array in arrays])
    result = np.zeros(masks.shape[1:], bool)
    for channel in range(masks.shape[1]):
        flat = masks[:, channel].reshape(len(masks), -1)
        area = np.count_nonzero(flat, axis=1)
        both = np.array([[np.count_nonzero(one & other) for other in flat] for one in flat])
        total = area[:, None] + area[None]
        agree = (2 * both >= dice * total) & (total > 0)
        kept = (agree.sum(axis=1) >= least) & (area > 0)
        result[channel] = masks[kept, channel].any(axis=0)
    return result
