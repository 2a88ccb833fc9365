"""Black pictures in the place of files that cannot be read."""

from typing import Any

import numpy as np

from datamodules.decoder import Arrays, Decoder
from datamodules.readers import ImageReadError


class Blank:
    """Reads a row as its decoder does, and gives a black picture where that fails.

    The picture is as large as the file's header says; where that cannot be read either, as the first picture that can.
    Its channels and type are those of that picture.

    Args:
        decoder: reads what can be read; without targets.
        rows: all rows of the split.
    """

    def __init__(self, decoder: Decoder, rows: list[Any]) -> None:
        self.decoder, self.rows = decoder, rows
        self._sound: np.ndarray | None = None

    def read(self, row: Any) -> tuple[np.ndarray, Arrays, str]:
        """The image `(H, W, C)`, what else the decoder gives, and what is wrong with the file: empty for nothing.

        Raises:
            ImageReadError: no file of the split can be read; that of this row.
        """
        try:
            return *self.decoder.read(row), ""
        except ImageReadError as error:
            sound = self._first(error)
            return np.zeros((*self.size(row), sound.shape[-1]), sound.dtype), {}, str(error)

    def size(self, row: Any) -> tuple[int, ...]:
        """The size of the picture that `read` gives.

        Raises:
            ImageReadError, OSError: no file of the split can be read; that of this row.
        """
        try:
            return self.decoder.size(row)
        except (ImageReadError, OSError) as error:  # an OSError: the header of a PNG may stand behind its pixels
            return self._first(error).shape[:-1]

    def _first(self, error: Exception) -> np.ndarray:
        """The first image of the split that can be read."""
        if self._sound is None:
            for row in self.rows:
                try:
                    self._sound = self.decoder.read(row)[0]
                except ImageReadError:
                    continue
                return self._sound
            raise error
        return self._sound
