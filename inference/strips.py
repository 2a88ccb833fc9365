"""Pictures larger than memory: read strip by strip, one row of tiles after the other."""

from collections.abc import Callable

import torch
from torch import Tensor

from inference.tiles import Padding, padded_indices


class StripReader:
    """Windows of a picture of which only the rows under one row of tiles are held.

    Args:
        size: `(H, W)` of the picture.
        rows: `(first, last)` -> its rows from `first` to before `last`, `(C, last - first, W)`, in any type.
        prepare: a window `(1, C, h, w)` in that type -> what the network sees.
        padding: what lies beyond the edges, as in `tiles.read_window`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        rows: Callable[[int, int], Tensor],
        prepare: Callable[[Tensor], Tensor],
        padding: Padding,
    ) -> None:
        self.size, self.rows, self.prepare, self.padding = size, rows, prepare, padding
        self._held = (0, 0)
        self._strip: Tensor | None = None

    def window(self, top: int, left: int, height: int, width: int) -> Tensor:
        """A window `(1, C, height, width)`, prepared; it may hang over the edges."""
        rows, columns = (
            padded_indices(first, length, side, self.padding)
            for first, length, side in ((top, height, self.size[0]), (left, width, self.size[1]))
        )
        wanted = int(rows.min()), int(rows.max()) + 1
        if wanted != self._held or self._strip is None:
            self._strip = None  # before the next one is there
            self._strip, self._held = self.rows(*wanted), wanted
        strip = self._strip
        if all(bool((index.diff() == 1).all()) for index in (rows, columns)):  # nothing beyond an edge: no copy
            pixels = strip[..., int(columns[0]) : int(columns[-1]) + 1]
        else:
            pixels = strip[..., (rows - wanted[0]).to(strip.device)[:, None], columns.to(strip.device)]
        tile = self.prepare(pixels[None])
        if self.padding == "constant":  # zeros, the mean of a normalised picture
            beyond = [
                torch.arange(first, first + length) != index
                for first, length, index in ((top, height, rows), (left, width, columns))
            ]
            if any(each.any() for each in beyond):
                tile = tile.masked_fill((beyond[0][:, None] | beyond[1]).to(tile.device), 0)
        return tile
