"""Base classes of targets."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from datamodules.row import Row
from datamodules.targets.patterns import by_id_alone, one_file_each
from files.paths import confined

if TYPE_CHECKING:
    from datamodules.readers import Reader


class Target:
    """Base class of targets: arrays read from files, or derived from other targets.

    `read` reads files, before augmentation, at the image's size. `derive` uses the arrays of the sample, after
    augmentation, so that its result fits the crop (is the crop empty? where do cells touch at this scale?). A subclass
    that reads files stores each constructor argument as an attribute of the same name and lists its `files`, so that
    the decoded cache detects changes.
    """

    root: Path
    classes: Any  # int | list[str] | None, only of targets with classes: their number or names; None: one class
    boxes: bool = False  # whether it returns `boxes` `(n, 4)` float32 xyxy in pixels, and their `labels` `(n,)`
    training_only: bool = False  # whether validation and scoring skip it
    tabular: bool = False  # whether `prepare` has checked all values that `read` returns
    windowed: bool = False  # whether `read` supports `row.window`; `size` is then that of the window
    _names: list[str] | None = None  # of `data.classes`

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        """Read tables and report all missing files; called once with the table of images and `data.root`."""
        self.root = Path(root)

    def follow(self, reader: "Reader") -> None:
        """Adopt the orientation and resampling of the image reader; called once."""

    def from_columns(self, columns: list[str]) -> None:
        """Take values from these columns of an external table; called on the copy for external data."""

    def take_classes(self, names: list[str] | None) -> None:
        """Adopt the class names of `data.classes`, None if it is not set; called once, before `prepare`.

        Raises:
            ValueError: if the target's own classes differ, or it needs classes and has none.
        """
        own = getattr(self, "classes", None)
        if names is not None and own is not None and own != (len(names) if isinstance(own, int) else names):
            raise ValueError(
                f"{type(self).__name__}: classes is {own}, but data.classes is {names} ({len(names)} classes); remove "
                "classes of the target, or make them equal"
            )
        if hasattr(self, "classes"):
            self._names = names
            if own is None and names is not None and self.adopts_classes(len(names)):
                self.classes = names

    def adopts_classes(self, count: int) -> bool:
        """Return whether a target without `classes` has those of `data.classes`, so many; by default, if several."""
        return count > 1

    def class_names(self, root: Path) -> list[str] | None:
        """Return the names of the classes, in the order of their numbers or channels; None if unknown.

        Args:
            root: `data.root`, for targets whose files have the names. Called before `prepare`, and without images.
        """
        own = getattr(self, "classes", None)
        return self._names or (own if isinstance(own, list) and all(isinstance(name, str) for name in own) else None)

    @property
    def class_count(self) -> int | None:
        """Number of classes; None for one class, such as a binary mask."""
        return len(self.classes) if isinstance(self.classes, list) else self.classes

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return arrays by name from the files of a table row; `size` is the image's `(H, W)`."""
        return {}

    def read_window(self, row: Row, size: tuple[int, ...], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return the result of `read` for a whole image, cropped to a window; override it if less work is possible.

        Args:
            row: row without its window.
            size: size of the whole image.
            window: `(top, left, height, width)`; for volumes `(z, top, left, depth, height, width)`.
        """
        axes = len(window) // 2
        cut = tuple(slice(first, first + length) for first, length in zip(window[:axes], window[axes:], strict=True))
        return {name: array[(..., *cut)] if array.ndim >= 2 else array for name, array in self.read(row, size).items()}

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        """Raise the errors of `read`; called for every image before training. Override it if less work is enough.

        Args:
            row: row without a window.
            size: size of its image.
        """
        self.read(row, size)

    def files(self, row: Row) -> list[Path]:
        """Return the files that `read` opens for a table row."""
        return []

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return arrays by name derived from those of the sample."""
        return {}


class FilePerImage(Target, ABC):
    """Base class of targets with one file per image, at `pattern` under `data.root`: `datamodules.targets.patterns`."""

    pattern: str
    what: str = "mask"  # name of the files in messages
    folders: bool = False  # whether a folder, as of a series of slices, may replace a file
    _paths: dict[str, Path] | None = None  # of the images seen by `prepare`; None if the id alone determines the path

    def path(self, image_id: str) -> Path:
        """Return the file of an image."""
        if self._paths is not None and image_id in self._paths:
            return self._paths[image_id]
        if by_id_alone(self.pattern):
            return confined(self.root, self.pattern.replace("{image_id}", image_id))
        return self._find(pd.DataFrame({"image_id": [image_id]}))[image_id]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        found = self._find(table)
        self._paths = None if by_id_alone(self.pattern) else found

    def _find(self, table: pd.DataFrame) -> dict[str, Path]:
        return one_file_each(self.root, self.pattern, table, self.what, Path.exists if self.folders else Path.is_file)

    def files(self, row: Row) -> list[Path]:
        return [self.path(row.image_id)]

    @abstractmethod
    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]: ...
