"""Large images of a split, left in their files until their rows are asked for."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from datamodules.decoder import Decoder
from datamodules.readers import ImageReadError
from datamodules.row import Row
from datamodules.unreadable import UnreadableFallback
from datamodules.windows import with_window


class LazyImage:
    """An image that stays in its file until its rows are asked for.

    Args:
        size: `(H, W)`.
        read: `(first, last)` -> its rows from `first` to before `last`, `(last - first, W, C)`, in the file's own type.

    Attributes:
        unreadable: why a part of it could not be read, where `read` then gives black rows; else empty.
    """

    def __init__(self, size: tuple[int, int], read: Callable[["LazyImage", int, int], np.ndarray]) -> None:
        self.size, self._read = size, read
        self.unreadable = ""

    def rows(self, first: int, last: int) -> Tensor:
        """`(C, last - first, W)`; `Inference.stream` asks for it once a row of tiles, from top to bottom."""
        return torch.from_numpy(self._read(self, first, last)).movedim(-1, 0)


class LazyImages:
    """Tells which pictures are too large to be read whole.

    Args:
        decoder: reads windows of rows.
        large: whether a picture of this size `(H, W)` is too large.
        fallback: what stands in for a file that cannot be read; None: that is an error.
    """

    def __init__(
        self, decoder: Decoder, large: Callable[[Sequence[int]], bool], fallback: UnreadableFallback | None = None
    ) -> None:
        self.decoder, self.large, self.fallback = decoder, large, fallback

    def open(self, row: Row) -> LazyImage | None:
        """The row's picture, unread; None where it is not large, or has no header that can be read."""
        try:
            size = self.decoder.size(row)
        except (ImageReadError, OSError):
            return None  # whoever reads it whole will say why
        return LazyImage(size, partial(self._rows, row)) if self.large(size) else None

    def _rows(self, row: Row, image: LazyImage, first: int, last: int) -> np.ndarray:
        width = image.size[1]
        if not image.unreadable:
            try:
                return self.decoder.read(with_window(row, (first, 0, last - first, width)))[0]
            except ImageReadError as error:
                if self.fallback is None:
                    raise
                image.unreadable = str(error)
        return self.fallback.black((last - first, width))


def left_in_files(
    decoder: Decoder, large: Callable[[Sequence[int]], bool] | None, fallback: UnreadableFallback | None = None
) -> LazyImages | None:
    """What leaves pictures in their files that the module predicts strip by strip; None where all are read whole.

    Args:
        decoder: reads windows of rows.
        large: whether a picture of this size is too large to be read; None where the module has no strips.
        fallback: what stands in for a file that cannot be read.
    """
    # A step of preprocessing may look at a picture as a whole.
    by_windows = decoder.reader.windowed and not decoder.preprocessing
    return LazyImages(decoder, large, fallback) if large is not None and by_windows else None
