"""Black images as a fallback for files that cannot be read."""

from typing import NamedTuple

import numpy as np

from datamodules.decoder import Arrays, Decoder
from datamodules.readers import ImageReadError
from datamodules.row import Row
from datamodules.windows import with_window


class Sound(NamedTuple):
    """Size, channels and type of a readable image."""

    size: tuple[int, ...]
    channels: int
    dtype: np.dtype


class UnreadableFallback:
    """Reads rows like its decoder, and returns a black image if that fails.

    The black image has the size in the file's header or, if the header is unreadable, that of the first readable
    image. Channels and type are those of the first readable image.

    Args:
        decoder: decoder without targets.
        rows: all rows of the split.
    """

    def __init__(self, decoder: Decoder, rows: list[Row]) -> None:
        self.decoder, self.rows = decoder, rows
        self._sound: Sound | None = None

    def read(self, row: Row) -> tuple[np.ndarray, Arrays, str]:
        """Return the image `(H, W, C)`, other arrays of the decoder, and the error message, empty if there is none.

        Raises:
            ImageReadError: if no file of the split can be read; the error of this row.
        """
        try:
            return *self.decoder.read(row), ""
        except ImageReadError as error:
            return self.black(self.size(row), error), {}, str(error)

    def black(self, size: tuple[int, ...], error: Exception | None = None) -> np.ndarray:
        """Return a black image `(*size, C)`; raises `error` if no file of the split can be read."""
        sound = self._first(error)
        return np.zeros((*size, sound.channels), sound.dtype)

    def size(self, row: Row) -> tuple[int, ...]:
        """Return the size of the image that `read` returns.

        Raises:
            ImageReadError, OSError: if no file of the split can be read; the error of this row.
        """
        try:
            return self.decoder.size(row)
        except (ImageReadError, OSError) as error:
            return self._first(error).size

    def _first(self, error: Exception | None) -> Sound:
        """Return the properties of the first readable image of the split."""
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
