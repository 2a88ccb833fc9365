"""From files to arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers import Reader
from datamodules.targets import Target
from datamodules.windows import crop, whole
from preprocessing.base import Preprocess

Arrays = dict[str, np.ndarray]


class Decoder:
    """Reads the image of a table row, or a window of it, and what the targets know about it.

    Args:
        reader: reads the image.
        targets: sources of truth, already prepared; empty for images without truth.
        preprocessing: what every image goes through after it is read.
        others: by the row's `source`, reader and targets of external data.
    """

    def __init__(
        self,
        reader: Reader,
        targets: list[Target],
        preprocessing: Sequence[Preprocess] = (),
        others: Mapping[str, tuple[Reader, list[Target]]] | None = None,
    ) -> None:
        self.reader, self.targets, self.preprocessing = reader, targets, list(preprocessing)
        self.others = dict(others or {})
        self._last: dict[int, tuple[str, Arrays]] = {}  # `truth` of one image is asked for strip by strip

    def read(self, row: Any) -> tuple[np.ndarray, Arrays]:
        """Image `(H, W, C)` and the arrays of the targets by name; `valid` where some pixels do not count."""
        reader, targets = self._of(row)
        window = getattr(row, "window", None)
        image, valid = reader.read_with_valid(row)
        if window is not None and not reader.windowed:
            image, valid = crop(image, window, channels=True), None if valid is None else crop(valid, window)
        for step in self.preprocessing:
            image = step.image(image)
        arrays: Arrays = {}
        for target in targets:
            if window is None or target.windowed:
                arrays |= target.read(row, image.shape[:-1])
            else:
                full = whole(row)
                arrays |= target.read_window(full, reader.size(full), window)
        if valid is not None:
            arrays["valid"] = valid & arrays["valid"] if "valid" in arrays else valid
        return image, arrays

    def truth(self, row: Any) -> Arrays:
        """The arrays of the targets alone, of a whole row or one with a window; the image is not read."""
        reader, targets = self._of(row)
        arrays: Arrays = {}
        if getattr(row, "window", None) is None:
            size = reader.size(row)
            return {name: array for target in targets for name, array in target.read(row, size).items()}
        for target in targets:
            if target.windowed:
                arrays |= target.read(row, row.window[len(row.window) // 2 :])
                continue
            full = whole(row)
            if self._last.get(id(target), (None, {}))[0] != row.image_id:
                self._last[id(target)] = row.image_id, target.read(full, reader.size(full))
            found = self._last[id(target)][1]
            arrays |= {name: crop(array, row.window) for name, array in found.items() if array.ndim >= 2}
        return arrays

    def check(self, row: Any, by_windows: bool = False) -> None:
        """Raise what `read` would raise, with as little work as it takes.

        Args:
            row: the row without a window.
            by_windows: the row will be read by windows, so truth that can be read so is too large to be read whole.

        Raises:
            ValueError, OSError: names the file.
        """
        reader, targets = self._of(row)
        reader.check(row)
        left = [target for target in targets if type(target).read is not Target.read and not target.tabular]
        left = [target for target in left if not (by_windows and target.windowed)]
        size = reader.size(row) if left else ()
        for target in left:
            target.check(row, size)

    def files(self, row: Any) -> list[Path | str]:
        """Every file that `read` opens for a row."""
        reader, targets = self._of(row)
        return [*reader.files(row), *(file for target in targets for file in target.files(row))]

    def size(self, row: Any) -> tuple[int, ...]:
        """The size of a row's image, from its header."""
        return self._of(row)[0].size(row)

    def parts(self) -> list[Any]:
        """Everything whose settings decide what `read` gives."""
        others = [part for reader, targets in self.others.values() for part in (reader, *targets)]
        return [self.reader, *self.targets, *self.preprocessing, *others]

    def _of(self, row: Any) -> tuple[Reader, list[Target]]:
        return self.others.get(getattr(row, "source", ""), (self.reader, self.targets))
