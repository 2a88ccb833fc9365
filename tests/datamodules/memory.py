"""Readers and targets of arrays in memory, for tests of what stands between files and batches."""

import numpy as np

from datamodules.readers import ImageReadError, Reader
from datamodules.targets import Target


class Images(Reader):
    """Images `(H, W, C)` by id; NaN-free, with void where `void` says so. Counts what it reads."""

    def __init__(self, images, void=None, windowed=False):
        self.images, self.void, self.windowed, self.opened = images, void or {}, windowed, []

    def read(self, row):
        return self.read_with_valid(row)[0]

    def read_with_valid(self, row):
        self.opened.append(row.image_id)
        if row.image_id not in self.images:
            raise ImageReadError(f"{row.image_id} is damaged")
        image, void = self.images[row.image_id], self.void.get(row.image_id)
        top, left, height, width = (self.windowed and getattr(row, "window", None)) or (0, 0, *image.shape[:2])
        place = np.s_[top : top + height, left : left + width]
        return image[place], None if void is None else ~void[place]

    def size(self, row):
        if row.image_id not in self.images:
            raise ImageReadError(f"{row.image_id} is damaged")
        return self.images[row.image_id].shape[:2]


class Arrays(Target):
    """Arrays by image id and name. Counts what it reads."""

    def __init__(self, arrays, windowed=False):
        self.arrays, self.windowed, self.opened = arrays, windowed, []

    def read(self, row, size):
        self.opened.append(row.image_id)
        found = self.arrays[row.image_id]
        if self.windowed and getattr(row, "window", None) is not None:
            top, left, height, width = row.window
            return {name: array[..., top : top + height, left : left + width] for name, array in found.items()}
        return dict(found)
