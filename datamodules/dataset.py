"""Rows of a table as samples."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from augmentations.steps import Steps
from datamodules.cache import DecodedCache
from datamodules.decoder import Arrays, Decoder, derive
from datamodules.lazy_images import LazyImage, LazyImages
from datamodules.row import Row, row_with
from datamodules.samplers import Draw
from datamodules.table import numbers, rows_of
from datamodules.targets import Target
from datamodules.targets.boxes import IGNORED
from datamodules.unreadable import UnreadableFallback
from datamodules.windows import Windows
from masks.void import blanked

FULL = {"uint8": 255.0, "uint16": 65535.0}  # what means 1.0; of floats 1.0 does


class TrainingDataset(Dataset):
    """Augmented training samples.

    Args:
        table: rows to draw from.
        source: reads a row: a decoder, or a cache that holds what it read.
        targets: what derives truth from truth, after augmentation.
        augmentation: transforms of albumentations and torchvision and our own augmentations, in order.
        features: numeric columns of the table that become `features`.
        windows: which part of an image a sample is cut from; already prepared. Whole images unless given.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        source: Decoder | DecodedCache,
        targets: list[Target],
        augmentation: list,
        features: list[str],
        windows: Windows | None = None,
    ) -> None:
        self.rows, self.features = rows_of(table), numbers(table, features)
        self.source, self.targets, self.windows = source, targets, windows
        self.augmentation = Steps(augmentation)

    def __len__(self) -> int:
        return len(self.rows) if self.windows is None else len(self.windows)

    def weigh(self, factors: np.ndarray) -> None:
        """Multiply the weight of each row in the loss."""
        self.rows = [
            row_with(vars(row) | {"weight": row.weight * float(factor)})
            for row, factor in zip(self.rows, factors, strict=True)
        ]

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        if not isinstance(draw, Draw):  # `trainer.overfit_batches` puts a sampler of plain numbers in place of ours
            draw = Draw(int(draw), int(draw))
        index, row = draw.index, None
        if self.windows is not None:
            # A stream of its own: the augmentation of a seed stays what it is without windows.
            random = np.random.default_rng([draw.seed, 1])
            index, row = self.windows.row(draw.index, random)
        row = row or self.rows[index]
        image, arrays = self.source.read(row)
        if self.windows is not None:
            image, arrays = self.windows.finish(image, arrays, random)
        arrays = {name: array for name, array in arrays.items() if name not in IGNORED}
        if image.ndim == 3:  # pictures, not volumes
            random, full = np.random.default_rng([draw.seed, 2]), FULL.get(image.dtype.name, 1.0)
            image, arrays = self.augmentation(image, arrays, full, draw.seed, random)
        arrays = derive(self.targets, blanked(arrays, image.shape[:-1]))
        arrays.pop("instances", None)
        return to_sample(row, image, arrays, self.features[index])


class EvaluationDataset(Dataset):
    """Images as they are, with their truth where there is any.

    Args:
        table: rows.
        source: reads a row: a decoder, or a cache that holds what it read.
        targets: what derives truth from truth; empty for images without truth.
        features: numeric columns of the table that become `features`.
        fallback: black images in place of those that cannot be read; `unreadable` in the sample says why, and is empty
            for all others. None: such a file is an error.
        lazy: opens the images that are too large to be read; a sample then holds a `LazyImage`. None reads all.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        source: Decoder | DecodedCache,
        targets: list[Target],
        features: list[str],
        fallback: UnreadableFallback | None = None,
        lazy: LazyImages | None = None,
    ) -> None:
        self.rows, self.features = rows_of(table), numbers(table, features)
        self.source, self.targets, self.fallback, self.lazy = source, targets, fallback, lazy

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        unread = self.lazy.open(row) if self.lazy is not None else None
        if unread is not None:
            sample = to_sample(row, unread, {}, self.features[index])
            return sample if self.fallback is None else sample | {"unreadable": ""}
        if self.fallback is not None:
            image, arrays, reason = self.fallback.read(row)
            return to_sample(row, image, arrays, self.features[index]) | {"unreadable": reason}
        image, arrays = self.source.read(row)
        return to_sample(row, image, derive(self.targets, arrays), self.features[index])


def to_sample(row: Row, image: np.ndarray | LazyImage, arrays: Arrays, features: np.ndarray) -> dict[str, Any]:
    """The sample dict of one image; `features` only where there are any."""
    unread = isinstance(image, LazyImage)
    sample: dict[str, Any] = {
        "image_id": row.image_id,
        "image": image if unread else torch.from_numpy(_counted(np.ascontiguousarray(np.moveaxis(image, -1, 0)))),
        "original_size": image.size if unread else image.shape[:-1],
        "weight": torch.tensor(float(row.weight)),
    }
    if len(features):
        sample["features"] = torch.from_numpy(features)
    for name, array in arrays.items():
        array = array.astype(np.int32) if array.dtype == np.uint16 else _counted(array)
        # ascontiguousarray makes one dimension of none, which the number of a class has.
        sample[name] = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    return sample


def _counted(array: np.ndarray) -> np.ndarray:
    """The array in a type that torch computes with: it stores uint32 and uint64, and little more."""
    if array.dtype not in (np.uint32, np.uint64):
        return array
    if array.max(initial=0) >= 2**63:
        raise ValueError(f"{array.dtype} values up to {array.max()} are larger than a tensor holds")
    return array.astype(np.int64)
