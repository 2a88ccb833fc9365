"""Training windows along the edges of masks."""

from collections.abc import Callable

import cv2
import numpy as np

from datamodules.row import Row
from datamodules.windows import Windows, with_window
from inference.coarse import CoarseMasks
from masks.void import foreground
from preprocessing.edge_patches import edge_patches


class EdgeWindows(Windows):
    """Windows along the edges of a mask, each used once per epoch; the second stage of a coarse-to-fine pipeline.

    Carvana 2017, 11th place. `model.inference.coarse_run` predicts in the same way.

    Args:
        size: side of a window in pixels.
        min_cover: minimum number of windows that contain each edge pixel.
        coarse: experiment whose out-of-fold predictions of the training images define the edges, as its predictions of
            the test images will later: `runs/coarse` (default: edges of the target).
        name: name of the output of `coarse`, or of the target.
        threshold: threshold on the probabilities of `coarse`.
    """

    def __init__(
        self, size: int, min_cover: int = 2, coarse: str | None = None, name: str = "mask", threshold: float = 0.5
    ) -> None:
        if size < 1 or min_cover < 1:
            raise ValueError(f"EdgeWindows: size is {size} and min_cover {min_cover}, expected both to be 1 or more")
        self.size, self.min_cover, self.coarse, self.name, self.threshold = size, min_cover, coarse, name, threshold

    def prepare(self, rows: list[Row], size: Callable[[Row], tuple], read: Callable[[Row], dict]) -> None:
        masks = None if self.coarse is None else CoarseMasks(self.coarse)
        self.rows, self.windows = rows, []
        for index, row in enumerate(rows):
            if masks is None:
                arrays = read(row)
                if self.name not in arrays:
                    raise ValueError(
                        f"EdgeWindows: target {self.name!r} is not read from files, only {sorted(arrays)} are; set "
                        "data.windows.name"
                    )
                mask = foreground(arrays, self.name)
            else:
                height, width = size(row)[:2]
                mask = masks.read(row.image_id)[self.name]
                mask = np.stack([cv2.resize(plane, (width, height)) for plane in mask]) > self.threshold
            mask = mask.any(0) if mask.ndim == 3 else mask
            self.windows += [(index, window) for window in edge_patches(mask, self.size, self.min_cover).tolist()]
        if not self.windows:
            raise ValueError(f"EdgeWindows: no training image has an edge in {self.coarse or self.name!r}")

    def __len__(self) -> int:
        return len(self.windows)

    def row(self, number: int, rng: np.random.Generator) -> tuple[int, Row]:
        index, window = self.windows[number]
        return index, with_window(self.rows[index], window)
