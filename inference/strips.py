"""Images larger than memory, read in strips, one per row of tiles."""

from collections.abc import Callable

import torch
from torch import Tensor

from inference.tiles import Padding, padded_indices


class StripReader:
    """Windows of an image that keeps only one strip of rows in memory.

    Args:
        size: size `(H, W)` of the image.
        rows: `(first, last)` -> rows `first` to `last - 1` of the image, `(C, last - first, W)`, of any type.
        prepare: window `(1, C, h, w)` of that type -> input of the network.
        padding: padding beyond the image, as in `tiles.read_window`.
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
        """A prepared window `(1, C, height, width)`, which may extend beyond the image."""
        rows, columns = (
            padded_indices(first, length, side, self.padding)
            for first, length, side in ((top, height, self.size[0]), (left, width, self.size[1]))
        )
        wanted = int(rows.min()), int(rows.max()) + 1
        if wanted != self._held or self._strip is None:
            self._strip = None  # free the memory before the next is read
            self._strip, self._held = self.rows(*wanted), wanted
        strip = self._strip
        if all(bool((index.diff() == 1).all()) for index in (rows, columns)):  # inside the image: no copy
            pixels = strip[..., int(columns[0]) : int(columns[-1]) + 1]
        else:
            pixels = strip[..., (rows - wanted[0]).to(strip.device)[:, None], columns.to(strip.device)]
        tile = self.prepare(pixels[None])
        if self.padding == "constant":  # zeros, the mean of a normalised image
            beyond = [
                torch.arange(first, first + length) != index
                for first, length, index in ((top, height, rows), (left, width, columns))
            ]
            if any(each.any() for each in beyond):
                tile = tile.masked_fill((beyond[0][:, None] | beyond[1]).to(tile.device), 0)
        return tile
