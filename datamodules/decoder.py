"""Decoding of files to arrays."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers import Pixels, Reader
from datamodules.row import Row
from datamodules.targets import Target
from datamodules.targets.boxes import ARRAYS
from datamodules.windows import crop, without_window
from masks.void import Arrays, blanked, joined
from preprocessing.base import Preprocess


class Decoder:
    """Reads the image of a table row, or a window of it, and its target arrays.

    Void pixels of the reader and of the targets are merged here, and targets have no foreground there (`masks.void`).

    Args:
        reader: reader of the image.
        targets: prepared targets; empty for images without targets.
        preprocessing: steps applied to every image after reading.
        others: readers and targets of external data, by the `source` of their rows.
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
        self._last: dict[int, tuple[str, dict[str, Any]]] = {}  # `target_arrays` of one image is called strip by strip

    def read(self, row: Row) -> tuple[np.ndarray, Arrays]:
        """Return the image `(H, W, C)` and the target arrays by name; `valid` if there are void pixels."""
        reader, targets = self._of(row)
        window = getattr(row, "window", None)
        image, valid = reader.read_with_valid(row)
        if window is not None and not reader.windowed:
            image, valid = crop(image, window, channels=True), None if valid is None else crop(valid, window)
        for step in self.preprocessing:
            image = step.image(image)
        size = image.shape[:-1]
        if window is None:
            parts = [target.read(row, size) for target in targets]
        else:
            parts = [self._window_of(target, row, reader) for target in targets]
        return image, joined(parts, valid, size)

    def target_arrays(self, row: Row) -> Arrays:
        """Return the target arrays alone, of a whole row or of its window.

        The image is read only as far as needed to find void pixels.
        """
        reader, targets = self._of(row)
        window = getattr(row, "window", None)
        if window is None:
            size = reader.size(row)
            parts = [target.read(row, size) for target in targets]
            return joined(parts, reader.known(row) if _spatial(parts) else None, size)
        parts, size = [], window[len(window) // 2 :]
        for target in targets:
            if target.windowed or type(target).read_window is not Target.read_window:
                parts.append(self._window_of(target, row, reader))
                continue
            full = without_window(row)
            found = self._kept(target, row, lambda target=target, full=full: target.read(full, reader.size(full)))
            parts.append({name: crop(array, window) for name, array in found.items() if array.ndim >= 2})
        if not _spatial(parts):
            return joined(parts, None, size)
        if reader.windowed:
            return joined(parts, reader.known(row), size)
        known = self._kept(reader, row, lambda: {"valid": reader.known(without_window(row))})["valid"]
        return joined(parts, None if known is None else crop(known, window), size)

    def check(self, row: Row, by_windows: bool = False) -> None:
        """Raise the errors that `read` would raise, with as little work as possible.

        Args:
            row: row without a window.
            by_windows: whether the row is read only by windows, so targets that support them may be too large to be
                read whole and are skipped.

        Raises:
            ValueError, OSError: if a file is faulty; names it.
        """
        reader, targets = self._of(row)
        reader.check(row)
        left = [target for target in targets if type(target).read is not Target.read and not target.tabular]
        left = [t for t in left if not (by_windows and t.windowed and type(t).check is Target.check)]
        size = reader.size(row) if left else ()
        for target in left:
            target.check(row, size)

    def files(self, row: Row) -> list[Path | str]:
        """Return every file that `read` opens for a row."""
        reader, targets = self._of(row)
        return [*reader.files(row), *(file for target in targets for file in target.files(row))]

    def size(self, row: Row) -> tuple[int, ...]:
        """Return the size of a row's image, from its header."""
        return self._of(row)[0].size(row)

    def pixels(self, row: Row) -> Pixels | None:
        """Return pixel type and channels of a row's image, from its header; None if unknown."""
        return self._of(row)[0].pixels(row)

    def parts(self) -> list[Any]:
        """Return all objects whose settings affect the result of `read`."""
        others = [part for reader, targets in self.others.values() for part in (reader, *targets)]
        return [self.reader, *self.targets, *self.preprocessing, *others]

    def _window_of(self, target: Target, row: Row, reader: Reader) -> Arrays:
        """Return the arrays of a target for the window of a row."""
        if target.windowed:
            return target.read(row, row.window[len(row.window) // 2 :])
        full = without_window(row)
        return target.read_window(full, reader.size(full), row.window)

    def _kept(self, part: Target | Reader, row: Row, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return arrays of a whole image from a target or reader, kept for the next strips of the same image."""
        if self._last.get(id(part), (None, {}))[0] != row.image_id:
            self._last[id(part)] = row.image_id, read()
        return self._last[id(part)][1]

    def _of(self, row: Row) -> tuple[Reader, list[Target]]:
        return self.others.get(getattr(row, "source", ""), (self.reader, self.targets))


def derive(targets: list[Target], arrays: Arrays) -> Arrays:
    """Add the arrays derived by the targets, in order; derived borders end where void begins."""
    for target in targets:
        arrays = arrays | target.derive(arrays)
    return blanked(arrays, arrays["valid"].shape) if "valid" in arrays else arrays


def _spatial(parts: list[Arrays]) -> bool:
    """Return whether targets gave any arrays over pixels."""
    return any(array.ndim >= 2 and name not in ARRAYS for part in parts for name, array in part.items())
