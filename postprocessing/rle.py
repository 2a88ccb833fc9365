"""Run lengths: masks as text, in every convention that competitions use.

Column order (down, then right) is the rule; Carvana and UW-Madison go by rows. Positions count from 1, in SIIM-ACR
from 0. `relative` is SIIM-ACR's convention: each pair is the gap since the end of the last run, and the run's length.
"""

from typing import Literal

import numpy as np

Order = Literal["column", "row"]


def encode(mask: np.ndarray, order: Order = "column", base: int = 1, relative: bool = False) -> str:
    """Run lengths of a mask.

    Args:
        mask: `(H, W)` bool, or integers of 0 and one other value (1 or 255).
        order: `column` scans down then right, `row` right then down.
        base: number of the first pixel.
        relative: `gap length` pairs instead of `start length`; `base` then plays no part.

    Returns:
        `"start length start length …"`, empty for an empty mask.

    Raises:
        ValueError: a mask of probabilities (threshold it first) or of more than two values.
    """
    flat = _binary(mask).ravel(order="F" if order == "column" else "C")
    starts, ends = _runs(flat)
    first = np.diff(starts, prepend=0) - np.concatenate([[0], (ends - starts)[:-1]]) if relative else starts + base
    return _text(first if len(starts) else starts, ends - starts)


def decode(
    text: str | float | None,
    shape: tuple[int, int],
    order: Order = "column",
    base: int = 1,
    relative: bool = False,
) -> np.ndarray:
    """The bool mask `(H, W)` of run lengths.

    Args:
        text: run lengths; an empty string, None or NaN is an empty mask.
        shape: `(H, W)` of the mask.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        ValueError: names the pair and its position: no numbers, an odd count, a length below 1, a run before the first
            or past the last pixel, runs that overlap or go backwards.
    """
    starts, lengths = parse(text, relative, base)
    height, width = shape
    _check(starts, lengths, height * width, base)
    change = np.zeros(height * width + 1, np.int8)
    change[starts] = 1
    # A run may begin where the last one ended, so ends are added, not set.
    change[starts + lengths] -= 1
    flat = np.cumsum(change[:-1], dtype=np.int8).view(bool)
    return np.ascontiguousarray(flat.reshape(width, height).T) if order == "column" else flat.reshape(height, width)


def encode_instances(
    labels: np.ndarray, order: Order = "column", base: int = 1, relative: bool = False
) -> dict[int, str]:
    """Run lengths of every instance of a label image, in one pass over its runs.

    Args:
        labels: `(H, W)` integer ids, 0 = background.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Returns:
        id -> run lengths, by rising id.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"instances are integer ids (H, W), got {labels.dtype} {labels.shape}")
    flat = labels.ravel(order="F" if order == "column" else "C")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges]) if flat.size else edges
    lengths = np.diff(np.append(starts, flat.size))
    ids = flat[starts]
    kept = np.flatnonzero(ids)
    kept = kept[np.argsort(ids[kept], kind="stable")]
    starts, lengths, ids = starts[kept], lengths[kept], ids[kept]
    bounds = np.flatnonzero(np.diff(ids, prepend=0))
    result = {}
    for begin, end in zip(bounds, np.append(bounds[1:], len(ids)), strict=True):
        first = starts[begin:end]
        if relative:
            ends = first + lengths[begin:end]
            first = first - np.concatenate([[0], ends[:-1]])
        else:
            first = first + base
        result[int(ids[begin])] = _text(first, lengths[begin:end])
    return result


def parse(text: str | float | None, relative: bool = False, base: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Zero-based starts and lengths of run lengths, unchecked but for their being pairs of whole numbers."""
    if text is None or (isinstance(text, float) and np.isnan(text)) or not str(text).strip():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    try:
        numbers = np.array(str(text).split(), np.int64)
    except ValueError:
        wrong = next(word for word in str(text).split() if not word.lstrip("-").isdigit())
        raise ValueError(f"run lengths are whole numbers, found {wrong[:40]!r}") from None
    if len(numbers) % 2:
        raise ValueError(f"run lengths are pairs of start and length, found {len(numbers)} numbers")
    starts, lengths = numbers[::2], numbers[1::2]
    if relative:
        return np.cumsum(starts + lengths) - lengths, lengths
    return starts - base, lengths


def _check(starts: np.ndarray, lengths: np.ndarray, size: int, base: int) -> None:
    ends = starts + lengths
    faults = (
        (lengths < 1, "a length of {length}, expected 1 or more"),
        (starts < 0, "start {start} lies before the first pixel ({base})"),
        (ends > size, "run {start} {length} ends past the last of the mask's {size} pixels"),
        (np.append(False, starts[1:] < ends[:-1]), "start {start} lies inside or before the run before it"),
    )
    for wrong, what in faults:
        if wrong.any():
            pair = int(np.argmax(wrong))
            values = {"start": starts[pair] + base, "length": lengths[pair], "base": base, "size": size}
            raise ValueError(f"run lengths, pair {pair + 1}: " + what.format(**values))


def _binary(mask: np.ndarray) -> np.ndarray:
    if mask.ndim != 2:
        raise ValueError(f"a mask is (H, W), got {mask.shape}")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iu":
        raise ValueError(f"a mask is bool or integer, got {mask.dtype}: threshold the probabilities first")
    top = mask.max(initial=0)
    if top not in (0, 1, 255) or not np.isin(mask, (0, top)).all():
        raise ValueError(f"a mask holds 0 and 1 (or 255), found {np.unique(mask)[:5].tolist()}")
    return mask > 0


def _runs(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    padded = np.zeros(len(flat) + 2, bool)
    padded[1:-1] = flat
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]


def _text(first: np.ndarray, lengths: np.ndarray) -> str:
    pairs = np.empty(2 * len(first), np.int64)
    pairs[::2], pairs[1::2] = first, lengths
    return " ".join(map(str, pairs.tolist()))
