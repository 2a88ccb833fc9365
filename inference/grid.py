"""Tiles of one picture or of several go through the network; their predictions become maps again."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inference.tiles import Axis, StripMerge, to_bytes
from inference.tta import Merge, Merging, full_size

Predict = Callable[[Tensor, list[int]], dict[str, Tensor]]


class OneTile:
    """The map of a picture within one tile: nothing to blend, so no second map is made; see `StripMerge`."""

    def __init__(self, rows: Axis, columns: Axis, dtype: torch.dtype, device: torch.device | None) -> None:
        self.rows, self.columns, self.dtype, self.device = rows, columns, dtype, device
        self.finished = 0
        self.result: Tensor  # there once the tile is

    def add(self, column: int, tile: Tensor) -> None:
        """Take the prediction of the tile, `(N, K, tile height, tile width)`."""
        top, left = self.rows.origins[0], self.columns.origins[column]
        value = tile[..., -top : self.rows.size - top, -left : self.columns.size - left]
        value = (to_bytes(value) if self.dtype == torch.uint8 else value).contiguous()
        self.result = value if self.device is None else value.to(self.device)

    def finish_row(self) -> None:
        """Close the only row."""
        self.finished += 1


def merge_for(
    rows: Axis, columns: Axis, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> StripMerge | OneTile:
    """What makes one map of a picture's tiles; the arguments are those of `StripMerge`."""
    single = len(rows.origins) * len(columns.origins) == 1
    return (OneTile if single else StripMerge)(rows, columns, dtype, device)


class Picture(NamedTuple):
    """A picture, or several of one size, to be predicted in tiles.

    Attributes:
        rows: tiles along the height.
        columns: tiles along the width.
        window: `(top, left, height, width)` -> the pixels that the network sees, `(N, C, height, width)`.
        merge_of: makes what takes the tiles of an output, by its name.
    """

    rows: Axis
    columns: Axis
    window: Callable[[int, int, int, int], Tensor]
    merge_of: Callable[[str], StripMerge | OneTile]


class Blended:
    """The outputs of one picture, as its tiles come: row by row from the top, each from the left."""

    def __init__(self, picture: Picture, merge: Merging) -> None:
        # Not the picture itself, whose pixels are free once its tiles are read.
        self.last_column, self.merge_of, self.merge = len(picture.columns.origins) - 1, picture.merge_of, merge
        self.merges: dict[str, StripMerge | OneTile] = {}
        self._levels: dict[str, Merge] = {}

    def add(self, name: str, column: int, value: Tensor) -> None:
        """Take in an output of a tile: a map `(N, K, h, w)` or image-level `(N, K)`."""
        if value.ndim == 2:
            self._levels.setdefault(name, Merge(self.merge)).add(value)
            return
        if name not in self.merges:
            self.merges[name] = self.merge_of(name)
        merge = self.merges[name]
        merge.add(column, value)
        if column == self.last_column:
            merge.finish_row()

    def maps(self) -> dict[str, Tensor]:
        """The maps `(N, K, H, W)` by output."""
        return {name: merge.result for name, merge in self.merges.items()}

    def levels(self, device: torch.device | None = None) -> dict[str, Tensor]:
        """The image-level outputs `(N, K)`, merged over tiles; to be asked for once."""
        return {name: level.result().to(device) for name, level in self._levels.items()}


def blend(pictures: Iterable[Picture], predict: Predict, batch_size: int, merge: Merging) -> list[Blended]:
    """Predict pictures in tiles, up to `batch_size` in a forward; tiles of one size of several pictures share it.

    Args:
        pictures: are asked for one after the other, so that not all need be in memory.
        predict: tiles `(n, C, h, w)` and the number of the picture that each (or each N) of them is of ->
            probabilities by output name, maps or image-level.
        batch_size: tiles in one forward.
        merge: how image-level outputs are merged over tiles.
    """
    found: list[Blended] = []
    waiting: dict[Sequence[int], list[_Tile]] = {}
    for number, picture in enumerate(pictures):
        found.append(Blended(picture, merge))
        for top in picture.rows.origins:
            for column, left in enumerate(picture.columns.origins):
                pixels = picture.window(top, left, picture.rows.tile, picture.columns.tile)
                tiles = waiting.setdefault(pixels.shape, [])
                tiles.append(_Tile(number, column, pixels))
                if len(tiles) == batch_size:
                    _take(waiting.pop(pixels.shape), predict, found)
    for tiles in waiting.values():
        _take(tiles, predict, found)
    return found


class _Tile(NamedTuple):
    number: int
    column: int
    pixels: Tensor


def _take(tiles: list[_Tile], predict: Predict, found: list[Blended]) -> None:
    batch = tiles[0].pixels if len(tiles) == 1 else torch.cat([tile.pixels for tile in tiles])
    for name, value in predict(batch, [tile.number for tile in tiles]).items():
        if value.ndim > 2:
            value = full_size(name, value, batch.shape[2:])
        for tile, part in zip(tiles, value.chunk(len(tiles)), strict=True):
            found[tile.number].add(name, tile.column, part)
