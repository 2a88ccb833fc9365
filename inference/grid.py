"""Prediction of one or several images in tiles, whose predictions are blended to maps."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inference.tiles import Axis, StripMerge, to_bytes
from inference.tta import Merge, Merging, full_size

Predict = Callable[[Tensor, list[int]], dict[str, Tensor]]


class OneTile:
    """The map of an image of a single tile: nothing is blended or copied; see `StripMerge`."""

    def __init__(self, rows: Axis, columns: Axis, dtype: torch.dtype, device: torch.device | None) -> None:
        self.rows, self.columns, self.dtype, self.device = rows, columns, dtype, device
        self.finished = 0
        self.result: Tensor  # there once the tile is

    def add(self, column: int, tile: Tensor) -> None:
        """Set the prediction of the tile, `(N, K, tile height, tile width)`."""
        top, left = self.rows.origins[0], self.columns.origins[column]
        value = tile[..., -top : self.rows.size - top, -left : self.columns.size - left]
        value = (to_bytes(value) if self.dtype == torch.uint8 else value).contiguous()
        self.result = value if self.device is None else value.to(self.device)

    def finish_row(self) -> None:
        """Finish the only row."""
        self.finished += 1


def merge_for(
    rows: Axis, columns: Axis, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> StripMerge | OneTile:
    """The object that blends the tiles of an image; the arguments are those of `StripMerge`."""
    single = len(rows.origins) * len(columns.origins) == 1
    return (OneTile if single else StripMerge)(rows, columns, dtype, device)


class TiledImage(NamedTuple):
    """An image, or several of one size, to be predicted in tiles.

    Attributes:
        rows: tiles along the height.
        columns: tiles along the width.
        window: `(top, left, height, width)` -> input of the network, `(N, C, height, width)`.
        merge_of: name of an output -> object that blends its tiles.
    """

    rows: Axis
    columns: Axis
    window: Callable[[int, int, int, int], Tensor]
    merge_of: Callable[[str], StripMerge | OneTile]


class Blended:
    """The outputs of one image, blended from tiles in row-major order."""

    def __init__(self, image: TiledImage, merge: Merging) -> None:
        # Not the image itself, so that its memory is freed once its tiles are read.
        self.last_column, self.merge_of, self.merge = len(image.columns.origins) - 1, image.merge_of, merge
        self.merges: dict[str, StripMerge | OneTile] = {}
        self._levels: dict[str, Merge] = {}

    def add(self, name: str, column: int, value: Tensor) -> None:
        """Add an output of a tile: spatial `(N, K, h, w)` or image-level `(N, K)`."""
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
        """Spatial outputs `(N, K, H, W)` by name."""
        return {name: merge.result for name, merge in self.merges.items()}

    def levels(self, device: torch.device | None = None) -> dict[str, Tensor]:
        """Image-level outputs `(N, K)` by name, merged over tiles; to be called once."""
        return {name: level.result().to(device) for name, level in self._levels.items()}


def blend(images: Iterable[TiledImage], predict: Predict, batch_size: int, merge: Merging) -> list[Blended]:
    """Predict images in tiles, up to `batch_size` per forward pass; tiles of several images may share one.

    Args:
        images: images to predict, consumed one by one to save memory.
        predict: tiles `(n, C, h, w)` and the index of the image of each tile -> probabilities by output name, spatial
            or image-level.
        batch_size: number of tiles per forward pass.
        merge: rule to merge image-level outputs over tiles.
    """
    found: list[Blended] = []
    waiting: dict[Sequence[int], list[_Tile]] = {}
    for number, image in enumerate(images):
        found.append(Blended(image, merge))
        for top in image.rows.origins:
            for column, left in enumerate(image.columns.origins):
                pixels = image.window(top, left, image.rows.tile, image.columns.tile)
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
