"""Run lengths as text: writing, and parsing with checks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LIMIT = 1 << 40  # more pixels than any image has


class RunLengthError(ValueError):
    """Invalid run lengths, or run lengths that do not fit the mask.

    Attributes:
        number: index of the faulty text, from 0.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class Runs(NamedTuple):
    """Runs of one or several objects, in scan order.

    Attributes:
        starts: first pixel of each run `(R,)` int64, from 0.
        lengths: length of each run `(R,)` int64, 1 or more.
        owners: number of the object of each run `(R,)` int64, from 1.
    """

    starts: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray


def parse(
    texts: Sequence[str | float | None], pixels: int | None = None, base: int = 1, relative: bool = False
) -> Runs:
    """Parse and check the runs of objects that do not overlap.

    Args:
        texts: run lengths of every object.
        pixels: number of pixels of the image, to check that runs are inside; None skips this check.
        base: as in `encode`.
        relative: as in `encode`.

    Raises:
        RunLengthError: as in `decode_instances`.
    """
    parts = [runs_of_text(text, pixels, base, relative, number) for number, text in enumerate(texts)]
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


def runs_of_text(
    text: str | float | None, pixels: int | None, base: int, relative: bool, number: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Parse and check one text: starts, from 0, and lengths."""
    first, lengths = _numbers(text, number)
    starts = np.cumsum(first + lengths) - lengths if relative else first - base
    if not len(starts):
        return starts, lengths
    ends = starts + lengths
    # A quick check for valid runs, which nearly all are; the slow one names the fault.
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
        # numpy reads digits and spaces reliably, and fewer than 19 digits cannot overflow.
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
    # numpy accepts "+1", stops at unreadable text, and reads "1-2" as two numbers
    if len(values) != len(words) or "+" in text:
        wrong = next((w for w in words if not (w.isascii() and w.removeprefix("-").isdigit())), words[0])
        raise RunLengthError(f"run lengths contain {wrong[:40]!r}, expected integers", number)
    if len(values) % 2:
        raise RunLengthError(f"run lengths have {len(values)} numbers, expected pairs of start and length", number)
    return values[::2], values[1::2]


def _check(first: np.ndarray, lengths: np.ndarray, pixels: int | None, base: int, relative: bool, number: int) -> None:
    """Raise an error for invalid runs that names the first wrong pair."""
    # Clip numbers beyond any image, so that sums do not overflow; they remain beyond.
    small_first, small_lengths = np.clip(first, -LIMIT, LIMIT), np.clip(lengths, -LIMIT, LIMIT)
    ends = np.cumsum(small_first + small_lengths) if relative else small_first - base + small_lengths
    starts = ends - small_lengths
    most, size = (LIMIT // 2, "any mask") if pixels is None else (pixels, f"the mask's {pixels} pixels")
    faults = (
        (lengths < 1, "has a length of {length}, expected 1 or more"),
        (starts < 0, "starts before the first pixel, which is number {base}"),
        (np.append(False, starts[1:] < ends[:-1])[: len(first)], "starts inside or before the previous run"),
        (ends > most, "exceeds {size}"),
    )
    wrong = np.logical_or.reduce([fault for fault, _ in faults])
    if not wrong.any():
        return
    pair = int(wrong.argmax())
    what = next(text for fault, text in faults if fault[pair])
    what = what.format(length=lengths[pair], base=0 if relative else base, size=size)
    raise RunLengthError(f"run lengths: pair {pair + 1}, '{first[pair]} {lengths[pair]}', {what}", number)


def text_of_runs(starts: np.ndarray, lengths: np.ndarray, base: int, relative: bool) -> str:
    """Write runs as pairs of numbers; `starts` count from 0, `base` and `relative` are as in `encode`."""
    pairs = np.empty(2 * len(starts), np.int64)
    pairs[::2], pairs[1::2] = starts + base, lengths
    if relative:
        pairs[::2] = np.diff(starts, prepend=0)
        pairs[2::2] -= lengths[:-1]
    if len(pairs) < 256 or pairs.max() >= 10**8:
        return " ".join(map(str, pairs.tolist()))
    # Four digits at a time from a table; leading zeros are NUL bytes, removed at the end.
    high, low = np.divmod(pairs.astype(np.uint32), np.uint32(10_000))
    words = np.empty((len(pairs), 3), np.uint32)
    words[:, 0] = DIGITS[high]
    words[:, 1] = DIGITS[low + (high > 0) * np.uint32(10_000) + np.uint32(10_000)]
    words[:, 2] = SPACE
    return words.tobytes().translate(None, b"\0")[:-1].decode()


def _digits() -> np.ndarray:
    """Four characters of 0 … 9999 as one word each, three times: leading zeros as NUL, the same but 0 as `0`, all."""
    numbers = np.arange(10_000)
    digits = np.stack([numbers // 1000, numbers // 100 % 10, numbers // 10 % 10, numbers % 10], 1).astype(np.uint8) + 48
    shown = np.cumsum(digits != 48, axis=1) > 0
    leading = np.where(shown, digits, 0).astype(np.uint8)
    single = leading.copy()
    single[0, 3] = 48
    return np.ascontiguousarray(np.concatenate([leading, single, digits])).view(np.uint32).ravel()


DIGITS = _digits()
SPACE = np.frombuffer(b" \0\0\0", np.uint32)[0]
