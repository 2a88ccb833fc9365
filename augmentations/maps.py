"""The map of a batch."""

from typing import NamedTuple

import numpy as np


class Warp(NamedTuple):
    """Maps of N samples from output pixels to input pixels; pixel centres have whole numbers.

    (x, y) of the output is moved by `columns` and `rows`, then along its radius, then through `matrix`; `field` is
    added at the end.

    Args:
        size: `(h, w)` of the output.
        matrix: `(N, 3, 3)` float64.
        field: `(N, 2, h / cell, w / cell)` float32, displacement (x, y) in input pixels on a coarse grid; None without.
        columns: `(N, w)` float32, displacement of x; None without.
        rows: `(N, h)`, of y.
        radial: `(N,)` float32: share by which the corners are moved outwards along their radius; None without.
        exact: `(N,)` bool: no pixel is interpolated.
        border: what lies outside: `constant` (0, not valid) or `reflect`.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    field: np.ndarray | None
    columns: np.ndarray | None
    rows: np.ndarray | None
    radial: np.ndarray | None
    exact: np.ndarray
    border: str
