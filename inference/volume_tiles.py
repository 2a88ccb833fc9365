"""Prediction of volumes: overlapping 3-D tiles, blended as 2-D tiles are in `inference.tiles`.

In addition to the volume and its result it needs one slab (tile depth x volume height x volume width x outputs) in
float32 and one batch of tiles. For 512 x 512 x 512 voxels, 2 outputs and tiles 128 deep, the slab needs 0.5 GB, while a
sum and a count map of the whole volume would need 2 GB; the result is 1 GB in float32, a quarter of that in uint8.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from inference.tiles import Axis, Padding, padded_indices, to_bytes
from inference.tta import Forward, Merge, Merging, full_size


def predict_volume(
    forward: Forward,
    volume: Tensor,
    axes: Sequence[Axis],
    merge: Merging = "mean",
    batch_size: int = 1,
    padding: Padding = "reflect",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Probabilities of volumes of one size.

    Args:
        forward: `(n, C, d, h, w)` -> probabilities by output name: spatial `(n, K, d, h, w)`, or smaller by an integer
            factor (then resized trilinearly), or image-level `(n, K)`.
        volume: `(N, C, D, H, W)` float, normalised.
        axes: tiles along depth, height and width, of `plan_axis`.
        merge: rule to merge image-level outputs over tiles.
        batch_size: number of tiles per forward pass.
        padding: padding beyond the volume.
        dtype: type of spatial results: `torch.float32`, or `torch.uint8` for round(255 * probability).

    Returns:
        By output name: `(N, K, D, H, W)` in `dtype`, or image-level `(N, K)` float32, merged over tiles.

    Raises:
        ValueError: an output has another shape.
    """
    depth, rows, columns = axes
    tile = depth.tile, rows.tile, columns.tile
    places = list(product(range(len(rows.origins)), range(len(columns.origins))))
    merges: dict[str, SlabMerge] = {}
    levels: dict[str, Merge] = {}
    for front in depth.origins:
        for start in range(0, len(places), batch_size):
            chosen = places[start : start + batch_size]
            origins = [(front, rows.origins[row], columns.origins[column]) for row, column in chosen]
            tiles = [read_tile(volume, origin, tile, padding) for origin in origins]
            batch = tiles[0] if len(tiles) == 1 else torch.cat(tiles)
            for name, value in forward(batch).items():
                if value.ndim == 2:
                    for level in value.chunk(len(chosen)):
                        levels.setdefault(name, Merge(merge)).add(level)
                    continue
                slab = merges.setdefault(name, SlabMerge(depth, rows, columns, dtype, volume.device))
                value = full_size(name, value, tile)
                for (row, column), part in zip(chosen, value.chunk(len(chosen)), strict=True):
                    slab.add(row, column, part)
        for slab in merges.values():
            slab.finish_slab()
    return {name: slab.result for name, slab in merges.items()} | {
        name: level.result().to(volume.device) for name, level in levels.items()
    }


def read_tile(volume: Tensor, origin: Sequence[int], tile: Sequence[int], padding: Padding) -> Tensor:
    """A tile `(N, C, *tile)` of a volume, padded beyond the volume.

    Args:
        volume: `(N, C, D, H, W)`.
        origin: first slice, row and column; may be negative.
        tile: number of slices, rows and columns.
        padding: `reflect` (`replicate` along an axis too short for it), `replicate`, or `constant` (zeros).
    """
    sizes = volume.shape[2:]
    inside = [
        slice(max(first, 0), min(first + length, size)) for first, length, size in zip(origin, tile, sizes, strict=True)
    ]
    if padding == "constant":
        over = [
            (part.start - first, first + length - part.stop)
            for part, first, length in zip(inside, origin, tile, strict=True)
        ]
        for axis, part in enumerate(inside, 2):
            volume = volume.narrow(axis, part.start, part.stop - part.start)
        return F.pad(volume, [side for pair in reversed(over) for side in pair])
    for axis, (first, length, size, part) in enumerate(zip(origin, tile, sizes, inside, strict=True), 2):
        if part.stop - part.start == length:
            volume = volume.narrow(axis, first, length)
        else:
            index = padded_indices(first, length, size, padding).to(volume.device)
            volume = volume.index_select(axis, index)
    return volume


class SlabMerge:
    """Weighted mean of overlapping 3-D tiles that keeps one slab in memory at a time; `StripMerge` with a third axis.

    Weights are normalised per axis in advance, so a slice is final once the last slab over it was added.

    Args:
        depth: tiles along the volume's depth.
        rows: tiles along the volume's height.
        columns: tiles along the volume's width.
        dtype: type of the result: `torch.float32` or `torch.uint8`.
        device: device of the result; the slab is on the device of the tiles.
    """

    def __init__(self, depth: Axis, rows: Axis, columns: Axis, dtype: torch.dtype, device: torch.device) -> None:
        if dtype not in (torch.float32, torch.uint8):
            raise ValueError(f"SlabMerge: dtype is {dtype}, expected torch.float32 or torch.uint8")
        self.axes, self.dtype, self.device = (depth, rows, columns), dtype, device
        self.finished = 0
        self.slab: Tensor | None = None
        self.result: Tensor  # set by the first tile

    def add(self, row: int, column: int, tile: Tensor) -> None:
        """Add the prediction of a tile `(N, K, *tile)` of the current slab; it is not modified."""
        depth, rows, columns = self.axes
        slab = self.slab
        if slab is None:
            self.slab = slab = torch.zeros(*tile.shape[:2], depth.tile, rows.size, columns.size, device=tile.device)
            sizes = (axis.size for axis in self.axes)
            self.result = torch.empty(*tile.shape[:2], *sizes, dtype=self.dtype, device=self.device)
        target = slab
        weight = depth.weights[self.finished].to(tile.device)[:, None, None]
        for axis, (place, number) in enumerate(((rows, row), (columns, column)), 3):
            origin = place.origins[number]
            part = slice(max(0, -origin), min(place.tile, place.size - origin))
            target = target.narrow(axis, origin + part.start, part.stop - part.start)
            along = place.weights[number, part].to(tile.device)
            weight = weight * (along[:, None] if axis == 3 else along)
            tile = tile.narrow(axis, part.start, part.stop - part.start)
        target.addcmul_(tile.float(), weight)

    def finish_slab(self) -> None:
        """Finish the current slab: slices that no later tile covers are final."""
        depth, slab = self.axes[0], self.slab
        if slab is None:
            raise ValueError("SlabMerge: finish_slab was called before a tile was added to the slab")
        present = depth.origins[self.finished]
        last_slab = self.finished + 1 == len(depth.origins)
        following = present + depth.tile if last_slab else depth.origins[self.finished + 1]
        first, last = max(present, 0), min(following, depth.size)
        if last > first:
            final = slab[:, :, first - present : last - present]
            self.result[:, :, first:last].copy_(to_bytes(final) if self.dtype == torch.uint8 else final)
        self.finished += 1
        if last_slab:
            self.slab = None
            return
        done = following - present
        kept = depth.tile - done
        if kept > 0:
            source = slab[:, :, done:]
            # Overlapping ranges must not be copied onto each other.
            slab[:, :, :kept].copy_(source.clone() if kept > done else source)
        slab[:, :, max(kept, 0) :].zero_()
