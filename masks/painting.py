"""Painting of runs: scan orders, and runs drawn onto an image, a window of it, or a new mask."""

from typing import Literal

import cv2
import numpy as np

from masks.run_texts import Runs

Order = Literal["column", "row"]


def check_order(order: str) -> None:
    """Check the name of a scan order."""
    if order not in ("column", "row"):
        raise ValueError(f"order of run lengths is {order!r}, expected 'column' or 'row'")


def scanned(array: np.ndarray, order: Order) -> np.ndarray:
    """Pixels `(H·W,)` in scan order."""
    check_order(order)
    return (array if order == "row" else _transposed(array)).ravel()


def paint(flat: np.ndarray, runs: Runs, value: int) -> None:
    """Set the pixels of runs to a value.

    Args:
        flat: pixels `(H·W,)` of any type, in scan order; modified in place.
        runs: runs from `parse`.
        value: new value of their pixels.
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
    """Set the pixels of runs to a value within a window of an image, without the rest of its 10⁹ pixels.

    Args:
        part: window `(h, w)` of any type; modified in place.
        runs: runs of a single mask from `parse`, in scan order.
        value: new value of their pixels.
        shape: size `(H, W)` of the entire image.
        window: `(top, left, height, width)` within the image.
        order: scan order, as in `encode`.
    """
    check_order(order)
    top, left, height, width = window
    # A line is one column or row of the scan.
    line, first, begin, count = (shape[0], left, top, width) if order == "column" else (shape[1], top, left, height)
    starts, ends = runs.starts, runs.starts + runs.lengths
    low, high = np.searchsorted(ends, first * line, "right"), np.searchsorted(starts, (first + count) * line, "left")
    lines = part if order == "row" else part.T
    for start, end in zip(starts[low:high].tolist(), ends[low:high].tolist(), strict=True):
        for number in range(max(start // line, first), min((end - 1) // line + 1, first + count)):
            lines[number - first, max(start - number * line - begin, 0) : max(end - number * line - begin, 0)] = value


def painted(runs: Runs, shape: tuple[int, int], order: Order) -> np.ndarray:
    """Paint every run with its owner, `(H, W)`."""
    check_order(order)
    height, width = shape
    ends = runs.starts + runs.lengths
    # Alternate background and runs: a gap, a run, a gap, a run, …, the rest.
    values = np.zeros(2 * len(ends) + 1, runs.owners.dtype)
    values[1::2] = runs.owners
    counts = np.empty(len(values), np.int64)
    counts[:-1:2] = runs.starts - np.concatenate([[0], ends[:-1]])[: len(ends)]
    counts[1::2] = runs.lengths
    counts[-1] = height * width - (ends[-1] if len(ends) else 0)
    flat = np.repeat(values, counts)
    return flat.reshape(height, width) if order == "row" else _transposed(flat.reshape(width, height))


def mask_of_runs(starts: np.ndarray, lengths: np.ndarray, shape: tuple[int, int], order: Order) -> np.ndarray:
    """Bool mask `(H, W)` of runs: +1 where one begins, −1 after its end; the running sum is 1 inside."""
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
