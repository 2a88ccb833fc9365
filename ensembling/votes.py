"""Votes of members that have decided for themselves, and unions of masks that agree."""

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
    """What at least `votes` members say.

    Inclusive Images 2018, 3rd place: a class was kept by 4 of 7 networks, an image without any got the union of what
    the networks said, and one that was still without any the three commonest classes.

    Args:
        arrays: probabilities or bool, a member each, of one shape: labels `(C,)`, masks `(C, H, W)` or `(C, D, H, W)`.
        votes: members that must agree, at most as many as there are; None: more than half, so that a tie is no
            majority.
        threshold: a member says yes above it; one number or one per class.
        fallback: for an image (labels), or a channel of it (masks), in which nothing has enough votes: `union` takes
            what any member says, `none` leaves it empty. For masks `none` is the default because empty is an answer.
        commonest: class numbers for an image whose labels are empty even so.

    Returns:
        bool of the same shape.

    Raises:
        ValueError: no members, shapes that differ, fewer than 1 vote, thresholds or classes that do not fit.
    """
    counted = count(arrays, threshold)
    wanted = len(arrays) // 2 + 1 if votes is None else min(votes, len(arrays))
    if wanted < 1:
        raise ValueError(f"votes is {votes}, expected 1 or more")
    won = counted >= wanted
    if fallback == "union":
        # Labels of an image are one decision, channels of masks are one each.
        empty = ~won.any(axis=0 if won.ndim == 1 else tuple(range(1, won.ndim)))
        won = np.where(empty if won.ndim == 1 else empty.reshape(-1, *[1] * (won.ndim - 1)), counted > 0, won)
    if len(commonest) and won.ndim == 1 and not won.any():
        if max(commonest) >= len(won) or min(commonest) < 0:
            raise ValueError(f"commonest classes are {list(commonest)}, there are classes 0 to {len(won) - 1}")
        won[list(commonest)] = True
    return won


def count(arrays: Sequence[np.ndarray], threshold: float | Sequence[float] = 0.5) -> np.ndarray:
    """How many members say yes, uint16 of their shape."""
    if not arrays:
        raise ValueError("nothing to vote on: no member is given")
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"members have the shapes {sorted(shapes)}; resize them to one first")
    limit = np.asarray(threshold, np.float32)
    if limit.ndim:
        if len(limit) != len(arrays[0]):
            raise ValueError(f"{len(limit)} thresholds for {len(arrays[0])} classes")
        limit = limit.reshape(-1, *[1] * (arrays[0].ndim - 1))
    total = np.zeros(arrays[0].shape, np.uint16)
    for array in arrays:
        total += array if array.dtype == bool else array > limit
    return total


def union_of_agreeing(
    arrays: Sequence[np.ndarray], dice: float = 0.7, least: int = 2, threshold: float | Sequence[float] = 0.5
) -> np.ndarray:
    """Union of the masks that agree with others; one that stands alone is left out (SIIM-ACR 2019, 11th place).

    Args:
        arrays: probabilities or bool `(C, H, W)`, a member each; each channel is decided apart.
        dice: least Dice coefficient of two masks that agree. Empty masks agree with nothing.
        least: members in agreement, itself included, that a mask needs: 2, a pair.
        threshold: of the masks.

    Returns:
        bool of the same shape; empty where none agree.
    """
    if least < 1 or not 0 < dice <= 1:
        raise ValueError(f"least is {least} and dice {dice}; expected 1 or more, and above 0 up to 1")
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
