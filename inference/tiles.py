"""Overlapping tiles: where they lie, how they are read, how their predictions become one map.

The blending weight of a tile is a product of one window per axis, and the tiles form a grid, so the sum of the weights
over a pixel is a product of two sums that are known before the first forward. Weights are therefore normalised per axis
in advance; no count map is needed, and a row of the image is final as soon as the last tiles over it were added.
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
        origins: first pixel of each tile, ascending; negative where a tile hangs over the image's edge.
        weights: `(len(origins), tile)` float32 blending weights; over every pixel of the image they add up to 1.
    """

    size: int
    tile: int
    origins: list[int]
    weights: Tensor


def window_weights(tile: int, window: Window) -> Tensor:
    """Weights of one tile along one axis, `(tile,)` float64, symmetric and greater than zero.

    Args:
        tile: pixels of the tile.
        window: `gaussian` (standard deviation tile / 8, so that borders, where context is missing, count little),
            `pyramid` (falls linearly towards the border) or `constant` (plain mean).
    """
    if window == "constant":
        return torch.ones(tile, dtype=torch.float64)
    from_centre = (torch.arange(tile, dtype=torch.float64) - (tile - 1) / 2).abs()
    if window == "pyramid":
        return (tile + 1) / 2 - from_centre
    if window == "gaussian":
        return torch.exp(-0.5 * (from_centre / (tile / 8)) ** 2)
    raise ValueError(f"window is {window!r}; known windows: gaussian, pyramid, constant")


def tile_origins(size: int, tile: int, overlap: float, margin: bool = False, cover: int = 1) -> list[int]:
    """First pixels of the tiles along an axis.

    Without a margin the last tile is aligned to the edge rather than running over it, and an axis within one tile gets
    one tile, centred, which hangs over both edges.

    Args:
        size: pixels of the image along the axis.
        tile: pixels of a tile.
        overlap: share of a tile in [0, 1) that it has in common with the next.
        margin: let the first and last tiles hang over the edges, so that pixels there, and on an axis within one tile,
            are seen by as many tiles as those inside: floor(1 / (1 - overlap)) or more an axis.
        cover: tiles over every pixel along this axis; above 1 tiles overlap more than `overlap` says where they must,
            and have a margin.

    Raises:
        ValueError: an argument out of its range, or a tile of fewer pixels than `cover`.
    """
    if size < 1 or tile < 1 or not 0 <= overlap < 1:
        raise ValueError(f"tiles need size >= 1, tile >= 1 and overlap in [0, 1), got {size=}, {tile=}, {overlap=}")
    if not 1 <= cover <= tile:
        raise ValueError(f"tiles of {tile} pixels cover every pixel 1 to {tile} times along an axis, not {cover} times")
    step = min(max(1, math.floor(tile * (1 - overlap) + 1e-6)), tile // cover)
    extra = (math.ceil(tile / step) - 1) * step if margin or cover > 1 else 0
    if size <= tile and not extra:
        return [-((tile - size) // 2)]
    last = size + extra - tile
    return [*range(-extra, last, step), last]


def cover_of_axes(min_cover: int, axes: int) -> list[int]:
    """Tiles over every pixel along each axis, such that `min_cover` lie over it in all; the last axes take more."""
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
    """First pixels of `count` crops of the axes' tile, anywhere inside the image; the same for every call.

    An axis within one tile has one place.
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
    """Indices into an axis of `size` pixels for a window that may hang over its ends, `(length,)` int64.

    `reflect` mirrors without repeating the edge; where the axis is too short for that, the edge is repeated instead.
    `constant` gives the nearest edge too: the caller blanks those pixels.
    """
    index = torch.arange(origin, origin + length)
    if padding == "reflect" and origin > -size and origin + length < 2 * size:
        index = index.abs()
        index = torch.where(index < size, index, 2 * (size - 1) - index)
    return index.clamp_(0, size - 1)


def read_window(image: Tensor, top: int, left: int, height: int, width: int, padding: Padding) -> Tensor:
    """A window of an image, made up by `padding` where it hangs over the edges.

    Only the window is allocated; a window inside the image is a view.

    Args:
        image: `(N, C, H, W)`.
        top: first row, may be negative.
        left: first column, may be negative.
        height: rows of the window.
        width: columns of the window.
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
    """Values in 0..1 -> uint8, round(255 * value), computed in float32; `predictions.quantiser.to_steps` of tensors."""
    return probabilities.float().mul(STEPS).round_().clamp_(0, STEPS).to(torch.uint8)


class StripMerge:
    """Weighted mean of overlapping tiles that holds one strip of tiles at a time.

    Tiles are added row by row; `finish_row` writes the image rows that no later tile touches to the result and keeps
    the rest. Beside the result it needs one float32 strip (tile height x image width), not a second full map.

    Args:
        rows: tiles along the image's height.
        columns: tiles along the image's width.
        dtype: of the result: `torch.float32`, or `torch.uint8` for values in 0..1 stored as round(255 * value), a
            quarter of the memory.
        device: of the result; the strip lives where the tiles are. None: where the tiles are.
        out: takes the final rows `(N, K, rows, W)` in place of a result, from top to bottom; they are overwritten once
            it has returned.
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
            raise ValueError(f"StripMerge: dtype is torch.float32 or torch.uint8, got {dtype}")
        self.rows, self.columns, self.dtype, self.device, self.out = rows, columns, dtype, device, out
        self.finished = 0
        self.strip: Tensor | None = None
        self.result: Tensor  # there from the first tile on, unless `out` takes what it would hold

    def add(self, column: int, tile: Tensor) -> None:
        """Add the prediction of a tile of the present row.

        Args:
            column: number of the tile along the width.
            tile: `(N, K, tile height, tile width)`, any float type; it is not changed.
        """
        expected = (self.rows.tile, self.columns.tile)
        if tuple(tile.shape[-2:]) != expected:
            raise ValueError(f"StripMerge: a tile's prediction is {tuple(tile.shape[-2:])} pixels, expected {expected}")
        strip = self._allocate(tile) if self.strip is None else self.strip
        row_origin, left = self.rows.origins[self.finished], self.columns.origins[column]
        inside_rows = _inside(row_origin, self.rows)
        inside_columns = _inside(left, self.columns)
        weight = self._row_weights[inside_rows, None] * self._column_weights[column, inside_columns]
        target = strip[..., inside_rows, left + inside_columns.start : left + inside_columns.stop]
        target.addcmul_(tile[..., inside_rows, inside_columns].float(), weight)

    def finish_row(self) -> None:
        """Close the present row of tiles: what no later tile touches is final."""
        origins, size, strip = self.rows.origins, self.rows.size, self.strip
        if strip is None:
            raise ValueError("StripMerge: a row is finished that has no tile")
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
            # ranges that overlap must not be copied onto themselves
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
    """The part of a tile, in its own pixels, that lies on the image."""
    return slice(max(0, -origin), min(axis.tile, axis.size - origin))
