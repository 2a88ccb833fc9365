"""Run lengths: masks as text, in every convention that competitions use.

Column order (down, then right) is usual; Carvana and UW-Madison use row order. Positions count from 1, in SIIM-ACR
from 0. `relative` is SIIM-ACR's convention: each pair is the gap since the end of the last run, and the run length.
"""

from collections.abc import Sequence

import numpy as np

from masks.painting import Order, check_order, mask_of_runs, paint, paint_window, painted, scanned
from masks.run_texts import RunLengthError, Runs, parse, runs_of_text, text_of_runs

FEW = 2048  # characters, up to which plain Python is faster than whole-array passes

__all__ = [
    "Order",
    "RunLengthError",
    "Runs",
    "decode",
    "decode_instances",
    "encode",
    "encode_instances",
    "paint",
    "paint_window",
    "parse",
]


def encode(mask: np.ndarray, order: Order = "column", base: int = 1, relative: bool = False) -> str:
    """Encode a mask as run lengths.

    Args:
        mask: mask `(H, W)`, bool, or integers of 0 and one other value (1 or 255).
        order: scan order: `column` scans down then right, `row` right then down.
        base: number of the first pixel.
        relative: whether to write `gap length` pairs instead of `start length`; `base` is then ignored.

    Returns:
        `"start length start length …"`, empty for an empty mask.

    Raises:
        ValueError: a mask of probabilities (threshold it first) or of other values.
    """
    flat = scanned(_binary(mask).view(np.uint8), order).view(bool)
    padded = np.zeros(len(flat) + 2, bool)
    padded[1:-1] = flat
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return text_of_runs(edges[::2], edges[1::2] - edges[::2], base, relative)


def encode_instances(
    labels: np.ndarray, order: Order = "column", base: int = 1, relative: bool = False
) -> dict[int, str]:
    """Encode every instance of an instance map as run lengths, in one pass.

    Args:
        labels: integer ids `(H, W)`, 0 = background.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Returns:
        Run lengths by id, in order of ids.

    Raises:
        ValueError: anything but integer ids `(H, W)` of 0 and above.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"instances are {labels.dtype} {labels.shape}, expected integer ids (H, W)")
    flat = scanned(labels, order)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])[: flat.size]
    lengths = np.diff(starts, append=flat.size)
    ids = flat[starts].astype(np.int64)
    if (ids < 0).any():
        raise ValueError(f"instance id is {ids.min()}, expected 0 (background) or above")
    kept = np.flatnonzero(ids)
    kept = kept[np.argsort(ids[kept], kind="stable")]
    starts, lengths, ids = starts[kept], lengths[kept], ids[kept]
    begins = np.flatnonzero(np.diff(ids, prepend=0))
    ends = np.append(begins[1:], len(ids))
    return {
        int(ids[begin]): text_of_runs(starts[begin:end], lengths[begin:end], base, relative)
        for begin, end in zip(begins, ends, strict=False)
    }


def decode(
    text: str | float | None,
    shape: tuple[int, int],
    order: Order = "column",
    base: int = 1,
    relative: bool = False,
) -> np.ndarray:
    """Decode run lengths to a bool mask `(H, W)`, in C or Fortran layout, whichever is faster.

    Args:
        text: run lengths; an empty string, None or NaN is an empty mask.
        shape: size `(H, W)` of the mask.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: not integers, an odd count, a length below 1, a run before the first or past the last pixel,
            runs that overlap or go backwards; names the pair.
    """
    check_order(order)
    mask = _short(text, shape, order, base, relative) if isinstance(text, str) and len(text) < FEW else None
    if mask is not None:
        return mask
    starts, lengths = runs_of_text(text, shape[0] * shape[1], base, relative)
    return mask_of_runs(starts, lengths, shape, order)


def decode_instances(
    texts: Sequence[str | float | None],
    shape: tuple[int, int],
    order: Order = "column",
    base: int = 1,
    relative: bool = False,
) -> np.ndarray:
    """Decode the run lengths of objects to an instance map `(H, W)` int32 with ids 1, 2, ….

    Args:
        texts: run lengths of every object; an empty text is an object without pixels.
        shape: size `(H, W)` of the image.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: as in `decode`, or two objects that overlap.
    """
    runs = parse(texts, shape[0] * shape[1], base, relative)
    return painted(runs._replace(owners=runs.owners.astype(np.int32)), shape, order)


def _binary(mask: np.ndarray) -> np.ndarray:
    if mask.ndim != 2:
        raise ValueError(f"mask is {mask.shape}, expected (H, W)")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iu":
        raise ValueError(f"mask is {mask.dtype}, expected bool or integer: threshold the probabilities first")
    top = mask.max(initial=0)
    if top not in (0, 1, 255) or not ((mask == 0) | (mask == top)).all():
        raise ValueError(f"mask has values {np.unique(mask)[:5].tolist()}, expected 0 and 1, or 0 and 255")
    return mask > 0


def _short(text: str, shape: tuple[int, int], order: Order, base: int, relative: bool) -> np.ndarray | None:
    """Decode a few runs without whole-array passes; None for faulty ones, whose error is found elsewhere."""
    if not (text.isascii() and text.replace(" ", "").isdigit()):
        return None
    numbers = list(map(int, text.split()))
    flat, pixels, position = np.zeros(shape[0] * shape[1], bool), shape[0] * shape[1], 0
    for first, length in zip(numbers[::2], numbers[1::2], strict=False):
        start = position + first if relative else first - base
        end = start + length
        if start < position or length < 1 or end > pixels:
            return None
        flat[start:end] = True
        position = end
    if len(numbers) % 2:
        return None
    return flat.reshape(shape) if order == "row" else flat.reshape(shape[::-1]).T
