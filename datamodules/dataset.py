"""Rows of a table as samples."""

from typing import Any

import albumentations
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from datamodules.readers import Reader
from datamodules.samplers import Draw
from datamodules.targets import Target


class TrainingDataset(Dataset):
    """Augmented training samples.

    Args:
        table: rows to draw from.
        reader: reads images.
        targets: sources of truth, already prepared.
        augmentation: albumentations transforms, in order.
        keep: keep decoded images and truth in memory after the first epoch, in each loader process.
    """

    def __init__(
        self, table: pd.DataFrame, reader: Reader, targets: list[Target], augmentation: list, keep: bool = False
    ) -> None:
        self.rows = list(table.itertuples(index=False))
        self.reader, self.targets, self.keep = reader, targets, keep
        self.decoded: dict[int, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
        self.augmentation = albumentations.Compose(augmentation)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        row = self.rows[draw.index]
        if draw.index in self.decoded:
            image, arrays = self.decoded[draw.index]
        else:
            image, arrays = read_arrays(row, self.reader, self.targets)
            if self.keep:
                self.decoded[draw.index] = image, arrays
        arrays = dict(arrays)
        self.augmentation.set_random_seed(draw.seed)
        image, arrays = augment(self.augmentation, image, arrays)
        for target in self.targets:
            arrays |= target.derive(arrays)
        arrays.pop("instances", None)
        return to_sample(row, image, arrays)


class EvaluationDataset(Dataset):
    """Images as they are, with their truth where there is any.

    Args:
        table: rows.
        reader: reads images.
        targets: sources of truth, already prepared; empty for images without truth.
    """

    def __init__(self, table: pd.DataFrame, reader: Reader, targets: list[Target]) -> None:
        self.rows = list(table.itertuples(index=False))
        self.reader, self.targets = reader, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        image, arrays = read_arrays(row, self.reader, self.targets)
        for target in self.targets:
            arrays |= target.derive(arrays)
        return to_sample(row, image, arrays)


def read_arrays(row: Any, reader: Reader, targets: list[Target]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Image `(H, W, C)` and what the targets read for it."""
    image = reader.read(row)
    arrays: dict[str, np.ndarray] = {}
    for target in targets:
        arrays |= target.read(row, image.shape[:2])
    return image, arrays


def augment(
    augmentation: albumentations.Compose, image: np.ndarray, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Move image and spatial targets together; masks by the nearest pixel, so that no value is invented."""
    spatial = {name: array for name, array in arrays.items() if array.ndim >= 2}
    # cv2 has no 64-bit remapping; class numbers fit into 16 bits.
    masks = [array.transpose(1, 2, 0) if array.ndim == 3 else array.astype(np.uint16) for array in spatial.values()]
    result = augmentation(image=image, masks=masks) if masks else augmentation(image=image)
    for (name, before), after in zip(spatial.items(), result.get("masks", []), strict=True):
        after = after if after.ndim == before.ndim else after[..., None]
        arrays[name] = after.transpose(2, 0, 1) if before.ndim == 3 else after.astype(before.dtype)
    return result["image"], arrays


def to_sample(row: Any, image: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The sample dict of one image."""
    sample: dict[str, Any] = {
        "image_id": row.image_id,
        "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "original_size": image.shape[:2],
        "weight": torch.tensor(float(row.weight)),
    }
    for name, array in arrays.items():
        array = array.astype(np.int32) if array.dtype == np.uint16 else array
        sample[name] = torch.from_numpy(np.ascontiguousarray(array))
    return sample
