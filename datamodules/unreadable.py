"""Black pictures in the place of files that cannot be read."""

from typing import NamedTuple

import numpy as np

from datamodules.decoder import Arrays, Decoder
from datamodules.readers import ImageReadError
from datamodules.row import Row
from datamodules.windows import with_window


class Sound(NamedTuple):
    """What a picture that can be read looks like."""

    size: tuple[int, ...]
    channels: int
    dtype: np.dtype


class UnreadableFallback:
    """Reads a row as its decoder does, and gives a black picture where that fails.

    The picture is as large as the file's header says; where that cannot be read either, as the first picture that can.
    Its channels and type are those of that picture.

    Args:
        decoder: reads what can be read; without targets.
        rows: all rows of the split.
    """

    def __init__(self, decoder: Decoder, rows: list[Row]) -> None:
        self.decoder, self.rows = decoder, rows
        self._sound: Sound | None = None

    def read(self, row: Row) -> tuple[np.ndarray, Arrays, str]:
        """The image `(H, W, C)`, what else the decoder gives, and what is wrong with the file: empty for nothing.

        Raises:
            ImageReadError: no file of the split can be read; that of this row.
        """
        try:
            return *self.decoder.read(row), ""
        except ImageReadError as error:
            return self.black(self.size(row), error), {}, str(error)

    def black(self, size: tuple[int, ...], error: Exception | None = None) -> np.ndarray:
        """A picture `(*size, C)` of zeros; raises `error` where no file of the split can be read."""
        sound = self._first(error)
        return np.zeros((*size, sound.channels), sound.dtype)

    def size(self, row: Row) -> tuple[int, ...]:
        """The size of the picture that `read` gives.

        Raises:
            ImageReadError, OSError: no file of the split can be read; that of this row.
        """
        try:
            return self.decoder.size(row)
        except (ImageReadError, OSError) as error:
            return self._first(error).size

    def _first(self, error: Exception | None) -> Sound:
        """The first image of the split that can be read."""
        if self._sound is None:
            for row in self.rows:
                try:
                    self._sound = self._look(row)
                except ImageReadError:
                    continue
                return self._sound
            raise error or ImageReadError("no file of the split can be read")
        return self._sound

    def _look(self, row: Row) -> Sound:
        if self.decoder.reader.windowed and not self.decoder.preprocessing:  # it may be larger than memory
            size = self.decoder.size(row)
            pixel = self.decoder.read(with_window(row, (0, 0, 1, 1)))[0]
            return Sound(size, pixel.shape[-1], pixel.dtype)
        image = self.decoder.read(row)[0]
        return Sound(image.shape[:-1], image.shape[-1], image.dtype)
