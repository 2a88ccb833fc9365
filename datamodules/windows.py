"""Windows of images that are too large to be read or trained on whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from datamodules.row import Row, row_with
from masks.void import foreground
from preprocessing.patches import Window, balanced_patches, coarse_places, grid_patches, random_patches


class Windows(ABC):
    """Base class of the windows of an epoch; files are not changed.

    The windows of an epoch are numbered; a number and a random generator determine a table row with a `window`.
    Readers and targets with support for windows (GeoTIFF, rasters, polygons) read only that part.
    """

    @abstractmethod
    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        """Prepare the windows; called once before training.

        Args:
            rows: training rows.
            size: function that returns the size of a row's image, from its header.
            read: function that returns the target arrays of a row, or of its window.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of windows, before `data.samples_per_image`."""

    @abstractmethod
    def row(self, number: int, rng: np.random.Generator) -> tuple[int, Row]:
        """Return the index of the training row, and the row with a `window`."""

    def finish(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Modify a window `(..., C)` and its arrays after reading, before augmentation; unchanged by default."""
        return image, arrays


class RandomWindows(Windows):
    """One window per image and draw, at a random position; a share of them with foreground.

    Args:
        size: side of the window in pixels. Smaller images are used whole along that axis.
        positive: share of windows in 0..1 that contain foreground, for images that have any; the others contain none
            (default: left to chance).
        target: name of the target array whose values above 0 are foreground: `mask`, `instances`, `body`.
        ignore: class number not counted as foreground; void pixels never are.
        by_area: whether the number of draws of an image is proportional to its area, at least 1; otherwise 1.
    """

    CELL = 32  # side of the squares in which foreground is stored: a thousandth of the pixels

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
        """Return the squares with foreground, searched in strips, so that large images are never in memory whole."""
        (height, width), found, strip = sides, [], 16 * self.CELL
        for top in range(0, height, strip):
            arrays = read(with_window(row, (top, 0, min(strip, height - top), width)))
            if self.target not in arrays:
                raise ValueError(
                    f"RandomWindows: target {self.target!r} is not read from files, only {sorted(arrays)} are; set "
                    "data.windows.target"
                )
            mask = foreground(arrays, self.target)
            mask &= True if self.ignore is None else arrays[self.target] != self.ignore
            places = coarse_places(mask.any(0) if mask.ndim == 3 else mask, self.CELL)
            found.append(places + [top // self.CELL, 0])
        return np.concatenate(found).astype(np.int32)

    def __len__(self) -> int:
        return len(self.places)

    def row(self, number: int, rng: np.random.Generator) -> tuple[int, Row]:
        index = self.places[number]
        if self.positive is None:
            window = random_patches(self.sizes[index], self.size, 1, rng)[0]
        else:
            places = self.filled[index]
            window = balanced_patches(self.sizes[index], self.size, 1, places, rng, self.positive, self.CELL)[0]
        return index, with_window(self.rows[index], window)


class GridWindows(Windows):
    """Every window of a regular grid, each used once per epoch; windows at the end are shifted inside the image.

    Args:
        size: side of the window in pixels.
        overlap: overlap of neighbouring windows, as a share of the window in [0, 1).
    """

    def __init__(self, size: int, overlap: float = 0.0) -> None:
        if size < 1 or not 0 <= overlap < 1:
            raise ValueError(
                f"GridWindows: size is {size} and overlap {overlap}, expected 1 or more and a share in [0, 1)"
            )
        self.size, self.overlap = size, overlap

    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        self.rows = rows
        grids = ((index, grid_patches(size(row)[:2], self.size, self.overlap)) for index, row in enumerate(rows))
        self.windows = [(index, window) for index, windows in grids for window in windows]

    def __len__(self) -> int:
        return len(self.windows)

    def row(self, number: int, rng: np.random.Generator) -> tuple[int, Row]:
        index, window = self.windows[number]
        return index, with_window(self.rows[index], window)


def with_window(row: Row, window: Window) -> Row:
    """Return a copy of a table row with a window of its image."""
    return row_with(vars(row) | {"window": tuple(int(number) for number in window)})


def without_window(row: Row) -> Row:
    """Return the row without its window."""
    return row_with({name: value for name, value in vars(row).items() if name != "window"})


def crop(array: np.ndarray, window: Window, channels: bool = False) -> np.ndarray:
    """Crop an array whose last axes are spatial (followed by a channel axis if `channels`) to a window."""
    axes = len(window) // 2
    cut = tuple(slice(first, first + length) for first, length in zip(window[:axes], window[axes:], strict=True))
    return array[(..., *cut, slice(None))] if channels else array[(..., *cut)]
