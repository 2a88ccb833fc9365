"""The base of every target."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datamodules.row import Row
from files.paths import confined

if TYPE_CHECKING:
    from datamodules.readers import Reader


class Target:
    """Truth of an image: from files, or from other truth.

    `read` looks at files, before augmentation, at the image's size. `derive` looks at the arrays that are there, after
    augmentation, so that what it makes fits the crop (is the crop empty? where do cells touch at this scale?).
    A subclass that reads keeps each argument of its constructor under its own name and lists its `files`: so the
    decoded cache knows when something has changed.
    """

    root: Path
    boxes: bool = False  # whether it gives `boxes` `(n, 4)` float32 xyxy in pixels, and their `labels` `(n,)`
    training_only: bool = False  # whether validation and the score do without it
    tabular: bool = False  # whether `prepare` has looked at all that `read` gives, so that nothing is left to check
    windowed: bool = False  # whether `read` looks at `row.window` itself; `size` is then the window's

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        """Called once with the table of images and `data.root`; reads tables and reports every problem at once."""
        self.root = Path(root)

    def follow(self, reader: "Reader") -> None:
        """Called once with the reader of the images, for targets that turn and resample as it does."""

    def from_columns(self, columns: list[str]) -> None:
        """Called on the copy that reads external data, whose table has these columns: no competition CSV lies there."""

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Arrays by name from the files of a table row; `size` is the image's `(H, W)`."""
        return {}

    def read_window(self, row: Row, size: tuple[int, ...], window: tuple[int, ...]) -> dict[str, np.ndarray]:
        """What `read` gives of a whole image, cut to a window; for targets that can do it with less work.

        Args:
            row: the row without its window.
            size: of the whole image.
            window: `(top, left, height, width)`, of volumes `(z, top, left, depth, height, width)`.
        """
        axes = len(window) // 2
        cut = tuple(slice(first, first + length) for first, length in zip(window[:axes], window[axes:], strict=True))
        return {name: array[(..., *cut)] if array.ndim >= 2 else array for name, array in self.read(row, size).items()}

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        """Raise what `read` would raise; called for every image before training. Reads, unless there is less to do.

        Args:
            row: the row without a window.
            size: of its image.
        """
        self.read(row, size)

    def files(self, row: Row) -> list[Path]:
        """The files that `read` opens for a table row."""
        return []

    def derive(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by name from those of the sample."""
        return {}


class FilePerImage(Target, ABC):
    """A target that reads one file per image, at `pattern` under `data.root`, with `{image_id}` in it."""

    pattern: str
    what: str = "mask"  # what the file is, for messages
    folders: bool = False  # whether a folder, of a series of slices, may stand in a file's place

    def path(self, image_id: str) -> Path:
        """The file of an image."""
        return confined(self.root, self.pattern.format(image_id=image_id))

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        paths = {image_id: self.path(image_id) for image_id in table["image_id"]}
        there = Path.exists if self.folders else Path.is_file
        missing = [(image_id, path) for image_id, path in paths.items() if not there(path)]
        if missing:
            _refuse(missing, self.what)

    def files(self, row: Row) -> list[Path]:
        return [self.path(row.image_id)]

    @abstractmethod
    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]: ...


def _refuse(missing: list[tuple[str, Path]], what: str) -> None:
    """Raise one error for all files that are not there."""
    image_id, path = missing[0]
    others = ", ".join(repr(name) for name, _ in missing[1:20]) + (", …" if len(missing) > 20 else "")
    raise FileNotFoundError(
        f"{len(missing)} images have no {what}; the first is {image_id!r}: no file {path}. Check the target's "
        "pattern, or list the images that have one in data.train_ids" + (f"\n  and {others}" if others else "")
    )
