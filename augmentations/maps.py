"""Geometric maps of a batch."""

from typing import NamedTuple

import numpy as np


class Warp(NamedTuple):
    """Maps of N samples from output to input pixels; pixel centres have integer coordinates.

    (x, y) of the output is shifted by `columns` and `rows`, then radially, then transformed by `matrix`; `field` is
    added last.

    Args:
        size: `(h, w)` of the output.
        matrix: `(N, 3, 3)` float64.
        field: displacement (x, y) in input pixels on a coarse grid, `(N, 2, h / cell, w / cell)` float32, or None.
        columns: displacement of x, `(N, w)` float32, or None.
        rows: displacement of y, `(N, h)` float32, or None.
        radial: relative outward shift of the corners, `(N,)` float32, or None.
        exact: whether a sample needs no interpolation, `(N,)` bool.
        border: outside of the image: `constant` (0, not valid) or `reflect`.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    field: np.ndarray | None
    columns: np.ndarray | None
    rows: np.ndarray | None
    radial: np.ndarray | None
    exact: np.ndarray
    border: str
