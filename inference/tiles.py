"""Overlapping tiles: their positions, their pixels, and blending of their predictions.

The blending weight of a tile is a product of one window per axis, and the tiles form a grid, so the sum of the weights
over a pixel is a product of two sums that are known before the first forward pass. Weights are therefore normalised per
axis in advance: no count map is needed, and a row of the image is final once the last tiles over it were added.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from predictions.quantiser import STEPS

Window = Literal["gaussian", "pyramid", "constant"]
Padding = Literal["reflect", "replicate", "constant"]


class Axis(NamedTuple):
    """Tiles along one axis of the image.

    Attributes:
        size: pixels of the image along this axis.
        tile: pixels of a tile along this axis.
        origins: first pixel of each tile, ascending; negative if a tile extends beyond the image.
        weights: blending weights `(len(origins), tile)` float32, which sum to 1 over every pixel of the image.
    """

    size: int
    tile: int
    origins: list[int]
    weights: Tensor


def window_weights(tile: int, window: Window) -> Tensor:
    """Weights of one tile along one axis, `(tile,)` float64, symmetric and greater than zero.

    Args:
        tile: pixels of the tile.
        window: `gaussian` (standard deviation tile / 8: low weight at borders, which lack context), `pyramid`
            (decreases linearly towards the border) or `constant` (plain mean).
    """
    if window == "constant":
        return torch.ones(tile, dtype=torch.float64)
    from_centre = (torch.arange(tile, dtype=torch.float64) - (tile - 1) / 2).abs()
    if window == "pyramid":
        return (tile + 1) / 2 - from_centre
    if window == "gaussian":
        return torch.exp(-0.5 * (from_centre / (tile / 8)) ** 2)
    raise ValueError(f"window is {window!r}, expected gaussian, pyramid or constant")


def tile_origins(size: int, tile: int, overlap: float, margin: bool = False, cover: int = 1) -> list[int]:
    """First pixels of the tiles along an axis.

    Without a margin the last tile ends at the edge of the image. If one tile covers the axis, it is centred and extends
    beyond both edges.

    Args:
        size: pixels of the image along the axis.
        tile: pixels of a tile.
        overlap: fraction of a tile shared with the next, in [0, 1).
        margin: whether the first and last tiles extend beyond the image, so that all pixels, also those of an axis
            within one tile, are covered by at least floor(1 / (1 - overlap)) tiles.
        cover: smallest number of tiles over every pixel along this axis; above 1 it implies a margin, and tiles overlap
            more than `overlap` if needed.

    Raises:
        ValueError: an argument is out of its range, or a tile has fewer pixels than `cover`.
    """
    if size < 1 or tile < 1 or not 0 <= overlap < 1:
        raise ValueError(
            f"tiles: expected size >= 1, tile >= 1 and overlap in [0, 1), got {size=}, {tile=}, {overlap=}"
        )
    if not 1 <= cover <= tile:
        raise ValueError(f"cover is {cover}, expected 1 to {tile}, the pixels of a tile along an axis")
    step = min(max(1, math.floor(tile * (1 - overlap) + 1e-6)), tile // cover)
    extra = (math.ceil(tile / step) - 1) * step if margin or cover > 1 else 0
    if size <= tile and not extra:
        return [-((tile - size) // 2)]
    last = size + extra - tile
    return [*range(-extra, last, step), last]


def cover_of_axes(min_cover: int, axes: int) -> list[int]:
    """Number of tiles over every pixel along each axis, whose product is at least `min_cover`; largest on last axes."""
    covers = [1] * axes
    while math.prod(covers) < min_cover:
        covers[max(range(axes), key=lambda axis: (-covers[axis], axis))] += 1
    return covers


def plan_axis(size: int, tile: int, overlap: float, window: Window, margin: bool = False, cover: int = 1) -> Axis:
    """Origins and normalised weights along one axis; the arguments are those of `tile_origins` and `window_weights`."""
    origins = tile_origins(size, tile, overlap, margin, cover)
    single = window_weights(tile, window)
    reach = max(0, -origins[0]), max(0, origins[-1] + tile - size)
    total = torch.zeros(reach[0] + size + reach[1], dtype=torch.float64)
    for origin in origins:
        total[reach[0] + origin :][:tile] += single
    weights = torch.stack([single / total[reach[0] + origin :][:tile] for origin in origins])
    return Axis(size, tile, origins, weights.float())


def random_origins(axes: Sequence[Axis], count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """First pixels of `count` random crops of the size of a tile inside the image; the same for every call.

    An axis within one tile has only one position.
    """
    rng = np.random.default_rng(seed)
    drawn = (
        [axis.origins[0]] * count
        if axis.size <= axis.tile
        else rng.integers(0, axis.size - axis.tile + 1, count).tolist()
        for axis in axes
    )
    return list(zip(*drawn, strict=True))


def padded_indices(origin: int, length: int, size: int, padding: Padding) -> Tensor:
    """Indices into an axis of `size` pixels for a window that may extend beyond it, `(length,)` int64.

    `reflect` mirrors without repeating the edge; if the axis is too short, the edge is repeated instead. `constant`
    gives the nearest edge too: the caller sets those pixels to 0.
    """
    index = torch.arange(origin, origin + length)
    if padding == "reflect" and origin > -size and origin + length < 2 * size:
        index = index.abs()
        index = torch.where(index < size, index, 2 * (size - 1) - index)
    return index.clamp_(0, size - 1)


def read_window(image: Tensor, top: int, left: int, height: int, width: int, padding: Padding) -> Tensor:
    """A window of an image, padded beyond the image.

    Only the window is allocated; a window inside the image is a view.

    Args:
        image: `(N, C, H, W)`.
        top: first row; may be negative.
        left: first column; may be negative.
        height: number of rows of the window.
        width: number of columns of the window.
        padding: `reflect`, `replicate` or `constant` (zeros, the mean of a normalised image).

    Returns:
        `(N, C, height, width)`.
    """
    rows, columns = image.shape[-2:]
    first_row, last_row = max(top, 0), min(top + height, rows)
    first_column, last_column = max(left, 0), min(left + width, columns)
    if (last_row - first_row, last_column - first_column) == (height, width):
        return image[..., first_row:last_row, first_column:last_column]
    if padding == "constant":
        inside = image[..., first_row:last_row, first_column:last_column]
        over = (first_column - left, left + width - last_column, first_row - top, top + height - last_row)
        return F.pad(inside, over)
    row_index = padded_indices(top, height, rows, padding).to(image.device)
    column_index = padded_indices(left, width, columns, padding).to(image.device)
    return image[..., row_index[:, None], column_index]


def to_bytes(probabilities: Tensor) -> Tensor:
    """Values in [0, 1] as uint8, round(255 * value) in float32; `predictions.quantiser.to_steps` for tensors."""
    return probabilities.float().mul(STEPS).round_().clamp_(0, STEPS).to(torch.uint8)


class StripMerge:
    """Weighted mean of overlapping tiles that keeps one strip of tiles in memory at a time.

    Tiles are added row by row; `finish_row` writes the image rows that no later tile covers to the result and keeps the
    rest. In addition to the result it needs one float32 strip (tile height x image width), not a second full map.

    Args:
        rows: tiles along the image's height.
        columns: tiles along the image's width.
        dtype: type of the result: `torch.float32`, or `torch.uint8` for values in [0, 1] stored as round(255 * value)
            in a quarter of the memory.
        device: device of the result (default: that of the tiles, which is also that of the strip).
        out: function that receives the final rows `(N, K, rows, W)` instead of a result, from top to bottom; the tensor
            is overwritten after it returns.
    """

    def __init__(
        self,
        rows: Axis,
        columns: Axis,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        out: Callable[[Tensor], None] | None = None,
    ):
        if dtype not in (torch.float32, torch.uint8):
            raise ValueError(f"StripMerge: dtype is {dtype}, expected torch.float32 or torch.uint8")
        self.rows, self.columns, self.dtype, self.device, self.out = rows, columns, dtype, device, out
        self.finished = 0
        self.strip: Tensor | None = None
        self.result: Tensor  # set by the first tile, unless rows go to `out`

    def add(self, column: int, tile: Tensor) -> None:
        """Add the prediction of a tile of the current row.

        Args:
            column: index of the tile along the width.
            tile: prediction `(N, K, tile height, tile width)` of any float type; it is not modified.
        """
        expected = (self.rows.tile, self.columns.tile)
        if tuple(tile.shape[-2:]) != expected:
            raise ValueError(f"StripMerge: a tile has {tuple(tile.shape[-2:])} pixels, expected {expected}")
        strip = self._allocate(tile) if self.strip is None else self.strip
        row_origin, left = self.rows.origins[self.finished], self.columns.origins[column]
        inside_rows = _inside(row_origin, self.rows)
        inside_columns = _inside(left, self.columns)
        weight = self._row_weights[inside_rows, None] * self._column_weights[column, inside_columns]
        target = strip[..., inside_rows, left + inside_columns.start : left + inside_columns.stop]
        target.addcmul_(tile[..., inside_rows, inside_columns].float(), weight)

    def finish_row(self) -> None:
        """Finish the current row of tiles: rows that no later tile covers are final."""
        origins, size, strip = self.rows.origins, self.rows.size, self.strip
        if strip is None:
            raise ValueError("StripMerge: finish_row was called before a tile was added to the row")
        present = origins[self.finished]
        following = origins[self.finished + 1] if self.finished + 1 < len(origins) else present + self.rows.tile
        first, last = max(present, 0), min(following, size)
        if last > first:
            final = strip[..., first - present : last - present, :]
            final = to_bytes(final) if self.dtype == torch.uint8 else final
            if self.out is None:
                self.result[..., first:last, :].copy_(final)
            else:
                self.out(final)
        done = following - present
        kept = self.rows.tile - done
        if kept:
            source = strip[..., done:, :]
            # overlapping ranges must not be copied onto each other
            strip[..., :kept, :].copy_(source.clone() if kept > done else source)
        strip[..., kept:, :].zero_()
        self.finished += 1
        if self.finished == len(origins):
            self.strip = None
        else:
            self._row_weights = self.rows.weights[self.finished].to(strip.device)

    def _allocate(self, tile: Tensor) -> Tensor:
        leading = tile.shape[:2]
        self.strip = strip = torch.zeros(*leading, self.rows.tile, self.columns.size, device=tile.device)
        device = self.device if self.device is not None else tile.device
        if self.out is None:
            self.result = torch.empty(*leading, self.rows.size, self.columns.size, dtype=self.dtype, device=device)
        self._row_weights = self.rows.weights[self.finished].to(tile.device)
        self._column_weights = self.columns.weights.to(tile.device)
        return strip


def _inside(origin: int, axis: Axis) -> slice:
    """The part of a tile, in its own pixels, that is inside the image."""
    return slice(max(0, -origin), min(axis.tile, axis.size - origin))
