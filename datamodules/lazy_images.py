"""Lazy images: large images read from their files in strips of rows, on demand."""

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
    """An image whose rows are read from its file on demand.

    Args:
        size: `(H, W)`.
        read: function that returns the rows from `first` to before `last`, `(last - first, W, C)`, in the file's type.

    Attributes:
        unreadable: error message if a part could not be read, in which case `read` returns black rows; else empty.
    """

    def __init__(self, size: tuple[int, int], read: Callable[["LazyImage", int, int], np.ndarray]) -> None:
        self.size, self._read = size, read
        self.unreadable = ""

    def rows(self, first: int, last: int) -> Tensor:
        """Return rows `(C, last - first, W)`; `Inference.stream` reads each row of tiles once, from top to bottom."""
        return torch.from_numpy(self._read(self, first, last)).movedim(-1, 0)


class LazyImages:
    """Opens images lazily that are too large to be read whole.

    Args:
        decoder: decoder of windows.
        large: whether an image of size `(H, W)` is too large.
        fallback: substitute for files that cannot be read; None raises an error.
    """

    def __init__(
        self, decoder: Decoder, large: Callable[[Sequence[int]], bool], fallback: UnreadableFallback | None = None
    ) -> None:
        self.decoder, self.large, self.fallback = decoder, large, fallback

    def open(self, row: Row) -> LazyImage | None:
        """Return the row's image, unread; None if it is not large, or its header cannot be read."""
        try:
            size = self.decoder.size(row)
        except (ImageReadError, OSError):
            return None  # reading it whole will raise the error
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
    """Return the opener of images that the module predicts in strips; None if all images are read whole.

    Args:
        decoder: decoder of windows.
        large: whether an image of a given size is too large to be read whole; None if the module has no strips.
        fallback: substitute for files that cannot be read.
    """
    # A preprocessing step may need the whole image.
    by_windows = decoder.reader.windowed and not decoder.preprocessing
    return LazyImages(decoder, large, fallback) if large is not None and by_windows else None
