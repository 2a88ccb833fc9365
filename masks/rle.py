"""Run lengths: masks as text, in every convention that competitions use.

Column order (down, then right) is the rule; Carvana and UW-Madison go by rows. Positions count from 1, in SIIM-ACR
from 0. `relative` is SIIM-ACR's convention: each pair is the gap since the end of the last run, and the run's length.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np

Order = Literal["column", "row"]
LIMIT = 1 << 40  # more pixels than any image has
FEW = 2048  # characters that plain Python reads and writes faster than whole-array passes


class RunLengthError(ValueError):
    """A text that is no run lengths, or not of such a mask.

    Attributes:
        number: which of several texts is at fault, counted from 0.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class Runs(NamedTuple):
    """Runs of one or several objects, in the order of scanning.

    Attributes:
        starts: `(R,)` int64, counted from 0.
        lengths: `(R,)` int64, 1 or more.
        owners: `(R,)` int64, number of the object that a run belongs to, counted from 1.
    """

    starts: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray


# --- to text ---------------------------------------------------------------------------------------------------------


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
        ValueError: a mask of probabilities (threshold it first) or of other values.
    """
    flat = _scan(_binary(mask).view(np.uint8), order).view(bool)
    padded = np.zeros(len(flat) + 2, bool)
    padded[1:-1] = flat
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return _text(edges[::2], edges[1::2] - edges[::2], base, relative)


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

    Raises:
        ValueError: anything but a single map of ids of 0 and above.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"instances are integer ids (H, W), got {labels.dtype} {labels.shape}")
    flat = _scan(labels, order)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])[: flat.size]
    lengths = np.diff(starts, append=flat.size)
    ids = flat[starts].astype(np.int64)
    if (ids < 0).any():
        raise ValueError(f"instances are ids of 0 (background) and above, found {ids.min()}")
    kept = np.flatnonzero(ids)
    kept = kept[np.argsort(ids[kept], kind="stable")]
    starts, lengths, ids = starts[kept], lengths[kept], ids[kept]
    begins = np.flatnonzero(np.diff(ids, prepend=0))
    ends = np.append(begins[1:], len(ids))
    return {
        int(ids[begin]): _text(starts[begin:end], lengths[begin:end], base, relative)
        for begin, end in zip(begins, ends, strict=False)
    }


# --- from text -------------------------------------------------------------------------------------------------------


def decode(
    text: str | float | None,
    shape: tuple[int, int],
    order: Order = "column",
    base: int = 1,
    relative: bool = False,
) -> np.ndarray:
    """The bool mask `(H, W)` of run lengths, in C or Fortran layout, whichever is there sooner.

    Args:
        text: run lengths; an empty string, None or NaN is an empty mask.
        shape: `(H, W)` of the mask.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: names the pair: no whole numbers, an odd count, a length below 1, a run before the first or past
            the last pixel, runs that overlap or go backwards.
    """
    if order not in ("column", "row"):
        raise ValueError(f"the order of run lengths is 'column' or 'row', got {order!r}")
    mask = _short(text, shape, order, base, relative) if isinstance(text, str) and len(text) < FEW else None
    return _mask(*_runs(text, shape[0] * shape[1], base, relative), shape, order) if mask is None else mask


def decode_instances(
    texts: Sequence[str | float | None],
    shape: tuple[int, int],
    order: Order = "column",
    base: int = 1,
    relative: bool = False,
) -> np.ndarray:
    """Label image `(H, W)` int32 of the run lengths of its objects: the first is 1, the second 2.

    Args:
        texts: run lengths of every object; an empty text is an object without pixels.
        shape: `(H, W)` of the image.
        order: as in `encode`.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: as in `decode`, or two objects that overlap.
    """
    runs = parse(texts, shape[0] * shape[1], base, relative)
    return _paint(runs._replace(owners=runs.owners.astype(np.int32)), shape, order)


def parse(
    texts: Sequence[str | float | None], pixels: int | None = None, base: int = 1, relative: bool = False
) -> Runs:
    """The runs of objects that do not overlap, checked.

    Args:
        texts: run lengths of every object.
        pixels: size of the image, to check that runs lie inside; None checks all but that.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: as in `decode_instances`.
    """
    parts = [_runs(text, pixels, base, relative, number) for number, text in enumerate(texts)]
    if len(parts) == 1:
        return Runs(*parts[0], np.ones(len(parts[0][0]), np.int64))
    starts = np.concatenate([starts for starts, _ in parts] or [np.zeros(0, np.int64)])
    lengths = np.concatenate([lengths for _, lengths in parts] or [np.zeros(0, np.int64)])
    owners = np.repeat(np.arange(1, len(parts) + 1), [len(lengths) for _, lengths in parts])
    if len(parts) > 1:
        by_start = np.argsort(starts, kind="stable")
        starts, lengths, owners = starts[by_start], lengths[by_start], owners[by_start]
        overlapping = starts[1:] < (starts + lengths)[:-1]
        if overlapping.any():
            place = int(overlapping.argmax())
            one, other = sorted(owners[place : place + 2].tolist())
            raise RunLengthError(f"object {other} overlaps object {one} at pixel {starts[place + 1] + base}", other - 1)
    return Runs(starts, lengths, owners)


def _runs(
    text: str | float | None, pixels: int | None, base: int, relative: bool, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Starts, counted from 0, and lengths of one text, checked."""
    first, lengths = _numbers(text, number)
    starts = np.cumsum(first + lengths) - lengths if relative else first - base
    if not len(starts):
        return starts, lengths
    ends = starts + lengths
    # Few operations for what is right, which is nearly everything; the long way names what is wrong.
    sound = min(first.min(), lengths.min() - 1) >= 0 and max(first.max(), lengths.max()) < LIMIT and starts[0] >= 0
    if not (sound and (starts[1:] >= ends[:-1]).all() and ends[-1] <= (LIMIT // 2 if pixels is None else pixels)):
        _check(first, lengths, pixels, base, relative, number)
    return starts, lengths


def _numbers(text: str | float | None, number: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second numbers of the pairs in a text."""
    if text is None or (isinstance(text, float) and np.isnan(text)):
        text = ""
    text = str(text)
    if text.isascii():
        letters = np.frombuffer(text.encode(), np.uint8)
        # Digits and blanks alone cannot mislead numpy; nor can a number overflow in fewer than 19 digits.
        plain = ((letters - 48 < 10) | (letters == 32)).all()
        if plain and letters.any():
            values = np.fromstring(text, np.int64, sep=" ")
            if not len(values) % 2 and not values.max(initial=0) >= LIMIT:
                return values[::2], values[1::2]
    words = text.split()
    try:
        values = np.fromstring(" ".join(words), np.int64, sep=" ")
    except ValueError:
        values = np.zeros(0, np.int64)
    if (
        len(values) != len(words) or "+" in text
    ):  # numpy takes "+1", stops at what it cannot read, and reads "1-2" as two numbers
        wrong = next((w for w in words if not (w.isascii() and w.removeprefix("-").isdigit())), words[0])
        raise RunLengthError(f"run lengths are whole numbers, found {wrong[:40]!r}", number)
    if len(values) % 2:
        raise RunLengthError(f"run lengths are pairs of start and length, found {len(values)} numbers", number)
    return values[::2], values[1::2]


def _check(first: np.ndarray, lengths: np.ndarray, pixels: int | None, base: int, relative: bool, number: int) -> None:
    """Refuse what is no runs of a mask; the first wrong pair is named."""
    # Numbers beyond any image are cut, or the sums below overflow; what is left of them is still beyond.
    small_first, small_lengths = np.clip(first, -LIMIT, LIMIT), np.clip(lengths, -LIMIT, LIMIT)
    ends = np.cumsum(small_first + small_lengths) if relative else small_first - base + small_lengths
    starts = ends - small_lengths
    most, size = (LIMIT // 2, "any mask") if pixels is None else (pixels, f"the mask's {pixels} pixels")
    faults = (
        (lengths < 1, "has a length of {length}, expected 1 or more"),
        (starts < 0, "begins before the first pixel, which is number {base}"),
        (np.append(False, starts[1:] < ends[:-1])[: len(first)], "begins inside or before the run that it follows"),
        (ends > most, "reaches past the last of {size}"),
    )
    wrong = np.logical_or.reduce([fault for fault, _ in faults])
    if not wrong.any():
        return
    pair = int(wrong.argmax())
    what = next(text for fault, text in faults if fault[pair])
    what = what.format(length=lengths[pair], base=0 if relative else base, size=size)
    raise RunLengthError(f"run lengths: pair {pair + 1}, '{first[pair]} {lengths[pair]}', {what}", number)


def paint(flat: np.ndarray, runs: Runs, value: int) -> None:
    """Write a value onto the pixels of runs.

    Args:
        flat: `(H·W,)` of any type, in the order of scanning; written to.
        runs: as `parse` gives them.
        value: what their pixels become.
    """
    for start, end in zip(runs.starts.tolist(), (runs.starts + runs.lengths).tolist(), strict=True):
        flat[start:end] = value


def paint_window(
    part: np.ndarray,
    runs: Runs,
    value: int,
    shape: tuple[int, ...],
    window: tuple[int, int, int, int],
    order: Order = "column",
) -> None:
    """Write a value onto the pixels of runs in a part of an image, without the rest: a window of 10⁹ pixels.

    Args:
        part: the window `(h, w)` of any type; written to.
        runs: of a single mask, in the order of scanning, as `parse` gives them.
        value: what their pixels become.
        shape: `(H, W)` of the whole image.
        window: `(top, left, height, width)`, inside of it.
        order: as in `encode`.
    """
    if order not in ("column", "row"):
        raise ValueError(f"the order of run lengths is 'column' or 'row', got {order!r}")
    top, left, height, width = window
    # A line is what is scanned at a stretch: a column, or a row.
    line, first, begin, count = (shape[0], left, top, width) if order == "column" else (shape[1], top, left, height)
    starts, ends = runs.starts, runs.starts + runs.lengths
    low, high = np.searchsorted(ends, first * line, "right"), np.searchsorted(starts, (first + count) * line, "left")
    lines = part if order == "row" else part.T
    for start, end in zip(starts[low:high].tolist(), ends[low:high].tolist(), strict=True):
        for number in range(max(start // line, first), min((end - 1) // line + 1, first + count)):
            lines[number - first, max(start - number * line - begin, 0) : max(end - number * line - begin, 0)] = value


# --- pixels ----------------------------------------------------------------------------------------------------------


def _binary(mask: np.ndarray) -> np.ndarray:
    if mask.ndim != 2:
        raise ValueError(f"a mask is (H, W), got {mask.shape}")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iu":
        raise ValueError(f"a mask is bool or integer, got {mask.dtype}: threshold the probabilities first")
    top = mask.max(initial=0)
    if top not in (0, 1, 255) or not ((mask == 0) | (mask == top)).all():
        raise ValueError(f"a mask holds 0 and 1, or 0 and 255, found {np.unique(mask)[:5].tolist()}")
    return mask > 0


def _scan(array: np.ndarray, order: Order) -> np.ndarray:
    """The pixels `(H·W,)` in the order of scanning."""
    if order not in ("column", "row"):
        raise ValueError(f"the order of run lengths is 'column' or 'row', got {order!r}")
    return (array if order == "row" else _transposed(array)).ravel()


def _paint(runs: Runs, shape: tuple[int, int], order: Order) -> np.ndarray:
    """`(H, W)` with every run's owner on its pixels."""
    if order not in ("column", "row"):
        raise ValueError(f"the order of run lengths is 'column' or 'row', got {order!r}")
    height, width = shape
    ends = runs.starts + runs.lengths
    # Background and runs in turn: a gap, a run, a gap, a run, …, the rest.
    values = np.zeros(2 * len(ends) + 1, runs.owners.dtype)
    values[1::2] = runs.owners
    counts = np.empty(len(values), np.int64)
    counts[:-1:2] = runs.starts - np.concatenate([[0], ends[:-1]])[: len(ends)]
    counts[1::2] = runs.lengths
    counts[-1] = height * width - (ends[-1] if len(ends) else 0)
    flat = np.repeat(values, counts)
    if order == "row":
        return flat.reshape(height, width)
    columns = flat.reshape(width, height)
    return _transposed(columns.view(np.uint8)).view(bool) if flat.dtype == bool else _transposed(columns)


def _short(text: str, shape: tuple[int, int], order: Order, base: int, relative: bool) -> np.ndarray | None:
    """The mask of a few runs without any whole-array pass; None where something is wrong and wants a name."""
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


def _mask(starts: np.ndarray, lengths: np.ndarray, shape: tuple[int, int], order: Order) -> np.ndarray:
    """Bool mask `(H, W)` of runs: +1 where one begins, −1 behind its end; the running sum is 1 inside."""
    steps = np.zeros(shape[0] * shape[1] + 1, np.int8)
    steps[starts] = 1
    steps[starts + lengths] -= 1
    flat = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8)
    return (flat.reshape(shape) if order == "row" else _transposed(flat.reshape(shape[::-1]))).view(bool)


def _transposed(array: np.ndarray) -> np.ndarray:
    # OpenCV transposes in blocks, ten times as fast as a strided copy.
    if array.size and array.dtype in (np.uint8, np.uint16, np.int32):
        return cv2.transpose(array)
    return np.ascontiguousarray(array.T)


def _text(starts: np.ndarray, lengths: np.ndarray, base: int, relative: bool) -> str:
    pairs = np.empty(2 * len(starts), np.int64)
    pairs[::2], pairs[1::2] = starts + base, lengths
    if relative:
        pairs[::2] = np.diff(starts, prepend=0)
        pairs[2::2] -= lengths[:-1]
    if len(pairs) < 256 or pairs.max() >= 10**8:
        return " ".join(map(str, pairs.tolist()))
    # Four digits at a time from a table; leading zeros are NUL bytes, which fall away at the end.
    high, low = np.divmod(pairs.astype(np.uint32), np.uint32(10_000))
    words = np.empty((len(pairs), 3), np.uint32)
    words[:, 0] = DIGITS[high]
    words[:, 1] = DIGITS[low + (high > 0) * np.uint32(10_000) + np.uint32(10_000)]
    words[:, 2] = SPACE
    return words.tobytes().translate(None, b"\0")[:-1].decode()


def _digits() -> np.ndarray:
    """Four characters of 0 … 9999 as one word each, three times: leading zeros as NUL, the same but 0 as `0`, whole."""
    numbers = np.arange(10_000)
    digits = np.stack([numbers // 1000, numbers // 100 % 10, numbers // 10 % 10, numbers % 10], 1).astype(np.uint8) + 48
    shown = np.cumsum(digits != 48, axis=1) > 0
    leading = np.where(shown, digits, 0).astype(np.uint8)
    single = leading.copy()
    single[0, 3] = 48
    return np.ascontiguousarray(np.concatenate([leading, single, digits])).view(np.uint32).ravel()


DIGITS = _digits()
SPACE = np.frombuffer(b" \0\0\0", np.uint32)[0]
