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

FULL = {"uint8": 255.0, "uint16": 65535.0}  # value of white; 1.0 for floats


class TrainingDataset(Dataset):
    """Augmented training samples.

    Args:
        table: table of the rows.
        source: decoder of rows, or a cache of its results.
        targets: targets that derive arrays after augmentation.
        augmentation: transforms of albumentations, torchvision and ours, in order.
        features: numeric columns of the table, returned as `features`.
        windows: prepared windows from which samples are cropped (default: whole images).
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
        """Multiply the loss weight of each row by a factor."""
        self.rows = [
            row_with(vars(row) | {"weight": row.weight * float(factor)})
            for row, factor in zip(self.rows, factors, strict=True)
        ]

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        if not isinstance(draw, Draw):  # `trainer.overfit_batches` replaces our sampler by one of plain numbers
            draw = Draw(int(draw), int(draw))
        index, row = draw.index, None
        if self.windows is not None:
            # A separate generator: augmentation with a given seed is the same as without windows.
            rng = np.random.default_rng([draw.seed, 1])
            index, row = self.windows.row(draw.index, rng)
        row = row or self.rows[index]
        image, arrays = self.source.read(row)
        if self.windows is not None:
            image, arrays = self.windows.finish(image, arrays, rng)
        arrays = {name: array for name, array in arrays.items() if name not in IGNORED}
        if image.ndim == 3:  # images, not volumes
            rng, full = np.random.default_rng([draw.seed, 2]), FULL.get(image.dtype.name, 1.0)
            image, arrays = self.augmentation(image, arrays, full, draw.seed, rng)
        arrays = derive(self.targets, blanked(arrays, image.shape[:-1]))
        arrays.pop("instances", None)
        return to_sample(row, image, arrays, self.features[index])


class EvaluationDataset(Dataset):
    """Images without augmentation, with their targets if known.

    Args:
        table: table of the rows.
        source: decoder of rows, or a cache of its results.
        targets: targets that derive arrays; empty for images without targets.
        features: numeric columns of the table, returned as `features`.
        fallback: source of black images for files that cannot be read; `unreadable` in the sample has the reason, and
            is empty for all others. None raises an error.
        lazy: opener of images too large to be read; their samples have a `LazyImage`. None reads all images.
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
    """Return the sample dict of one image; `features` only if there are any."""
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
        # ascontiguousarray adds an axis to 0-d arrays such as a class number.
        sample[name] = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    return sample


def _counted(array: np.ndarray) -> np.ndarray:
    """Return the array in a type that torch can compute with: its support of uint32 and uint64 is limited."""
    if array.dtype not in (np.uint32, np.uint64):
        return array
    if array.max(initial=0) >= 2**63:
        raise ValueError(f"{array.dtype} values up to {array.max()} are too large for a tensor, expected < 2^63")
    return array.astype(np.int64)
