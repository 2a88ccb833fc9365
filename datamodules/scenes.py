"""Large pictures of a split, left in their files until their rows are asked for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from datamodules.blank import Blank
from datamodules.decoder import Decoder
from datamodules.readers import ImageReadError
from datamodules.windows import with_window
from inference.strips import Scene


class Scenes:
    """Tells which pictures are too large to be read whole.

    Args:
        decoder: reads windows of rows.
        large: whether a picture of this size `(H, W)` is too large.
        blank: what stands in for a file that cannot be read; None: that is an error.
    """

    def __init__(self, decoder: Decoder, large: Callable[[Sequence[int]], bool], blank: Blank | None = None) -> None:
        self.decoder, self.large, self.blank = decoder, large, blank

    def open(self, row: Any) -> Scene | None:
        """The row's picture, unread; None where it is not large, or has no header that can be read."""
        try:
            size = self.decoder.size(row)
        except (ImageReadError, OSError):
            return None  # whoever reads it whole will say why
        return Scene(size, partial(self._rows, row)) if self.large(size) else None

    def _rows(self, row: Any, scene: Scene, first: int, last: int) -> np.ndarray:
        width = scene.size[1]
        if not scene.unreadable:
            try:
                return self.decoder.read(with_window(row, (first, 0, last - first, width)))[0]
            except ImageReadError as error:
                if self.blank is None:
                    raise
                scene.unreadable = str(error)
        return self.blank.black((last - first, width))


def left_in_files(
    decoder: Decoder, large: Callable[[Sequence[int]], bool] | None, blank: Blank | None = None
) -> Scenes | None:
    """What leaves pictures in their files that the module predicts strip by strip; None where all are read whole.

    Args:
        decoder: reads windows of rows.
        large: whether a picture of this size is too large to be read; None where the module has no strips.
        blank: what stands in for a file that cannot be read.
    """
    # A step of preprocessing may look at a picture as a whole.
    by_windows = decoder.reader.windowed and not decoder.preprocessing
    return Scenes(decoder, large, blank) if large is not None and by_windows else None
