"""Windows of images that are too large to be read, or trained on, whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from datamodules.row import Row, row_with
from masks.void import foreground
from preprocessing.patches import Window, balanced_patches, coarse_places, grid_patches, random_patches


class Windows(ABC):
    """Says which windows of the training images an epoch sees; files are never cut.

    The windows of one epoch are numbered; a number and a random generator give a table row with a `window`. Readers and
    targets that know windows (GeoTIFF, rasters, polygons) read that part alone.
    """

    @abstractmethod
    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        """Called once before training.

        Args:
            rows: the training rows.
            size: the size of a row's image, from its header.
            read: the target arrays of a row, or of the window that the row has.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of windows, before `data.samples_per_image`."""

    @abstractmethod
    def row(self, number: int, random: np.random.Generator) -> tuple[int, Row]:
        """Index of the training row, and the row with a `window`."""

    def finish(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What is done to a window `(..., C)` and its arrays once they are read, before augmentation; nothing here."""
        return image, arrays


class RandomWindows(Windows):
    """One window per image and draw, anywhere; a share of them with foreground.

    Args:
        size: side of the window in pixels. An image that is smaller gives all it has along that axis.
        positive: share of windows in 0..1 that contain foreground, where an image has any; the others contain none.
            None leaves everything to chance.
        target: name of the target array whose values above 0 are foreground: `mask`, `instances`, `body`.
        ignore: class number that is no foreground either; what does not count never is.
        by_area: draw from an image in proportion to its area, at least once; False gives each image one window.
    """

    CELL = 32  # side of the squares in which foreground is remembered: a thousandth of the pixels

    def __init__(
        self,
        size: int,
        positive: float | None = None,
        target: str = "mask",
        ignore: int | None = None,
        by_area: bool = True,
    ) -> None:
        if size < 1:
            raise ValueError(f"RandomWindows: size is {size}, expected 1 or more pixels")
        if positive is not None and not 0 <= positive <= 1:
            raise ValueError(f"RandomWindows: positive is {positive}, expected a share in 0..1")
        self.size, self.positive, self.target, self.ignore, self.by_area = size, positive, target, ignore, by_area
        self.places: list[int] = []
        self.filled: list[np.ndarray] = []  # (n, 2) squares with foreground, per row

    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        self.rows, self.sizes = rows, [tuple(size(row)[:2]) for row in rows]
        areas = [height * width / self.size**2 for height, width in self.sizes]
        draws = [max(1, round(area)) if self.by_area else 1 for area in areas]
        self.places = [index for index, count in enumerate(draws) for _ in range(count)]
        pairs = zip(rows, self.sizes, strict=True)
        self.filled = [self._foreground(row, sides, read) for row, sides in pairs] if self.positive is not None else []

    def _foreground(self, row: Row, sides: tuple[int, int], read: Callable[[Any], dict]) -> np.ndarray:
        """Squares that hold foreground, found strip by strip so that no scene is ever in memory whole."""
        (height, width), found, strip = sides, [], 16 * self.CELL
        for top in range(0, height, strip):
            arrays = read(with_window(row, (top, 0, min(strip, height - top), width)))
            if self.target not in arrays:
                raise ValueError(
                    f"RandomWindows: no target {self.target!r} is read from files, only {sorted(arrays)}; set "
                    "data.windows.target"
                )
            mask = foreground(arrays, self.target)
            mask &= True if self.ignore is None else arrays[self.target] != self.ignore
            places = coarse_places(mask.any(0) if mask.ndim == 3 else mask, self.CELL)
            found.append(places + [top // self.CELL, 0])
        return np.concatenate(found).astype(np.int32)

    def __len__(self) -> int:
        return len(self.places)

    def row(self, number: int, random: np.random.Generator) -> tuple[int, Row]:
        index = self.places[number]
        if self.positive is None:
            window = random_patches(self.sizes[index], self.size, 1, random)[0]
        else:
            places = self.filled[index]
            window = balanced_patches(self.sizes[index], self.size, 1, places, random, self.positive, self.CELL)[0]
        return index, with_window(self.rows[index], window)


class GridWindows(Windows):
    """Every window of a regular grid, each once an epoch: tiles that overlap, the last ones moved inside the image.

    Args:
        size: side of the window in pixels.
        overlap: share of a window in [0, 1) that it has in common with the next.
    """

    def __init__(self, size: int, overlap: float = 0.0) -> None:
        if size < 1 or not 0 <= overlap < 1:
            raise ValueError(
                f"GridWindows: size {size} and overlap {overlap}, expected 1 or more and a share in [0, 1)"
            )
        self.size, self.overlap = size, overlap

    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        self.rows = rows
        grids = ((index, grid_patches(size(row)[:2], self.size, self.overlap)) for index, row in enumerate(rows))
        self.windows = [(index, window) for index, windows in grids for window in windows]

    def __len__(self) -> int:
        return len(self.windows)

    def row(self, number: int, random: np.random.Generator) -> tuple[int, Row]:
        index, window = self.windows[number]
        return index, with_window(self.rows[index], window)


def with_window(row: Row, window: Window) -> Row:
    """A copy of a table row narrowed to a window of its image."""
    return row_with(vars(row) | {"window": tuple(int(number) for number in window)})


def whole(row: Row) -> Row:
    """The row without its window."""
    return row_with({name: value for name, value in vars(row).items() if name != "window"})


def crop(array: np.ndarray, window: Window, channels: bool = False) -> np.ndarray:
    """The window of an array whose last axes are spatial (before the channel axis when `channels`)."""
    axes = len(window) // 2
    cut = tuple(slice(first, first + length) for first, length in zip(window[:axes], window[axes:], strict=True))
    return array[(..., *cut, slice(None))] if channels else array[(..., *cut)]
