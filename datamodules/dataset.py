"""Rows of a table as samples."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from augmentations.base import Augmentation
from datamodules.cache import DecodedCache
from datamodules.decoder import Arrays, Decoder
from datamodules.samplers import Draw
from datamodules.table import numbers, rows_of
from datamodules.targets import Target
from datamodules.windows import Windows

if TYPE_CHECKING:
    import albumentations

FULL = {"uint8": 255.0, "uint16": 65535.0}  # what means 1.0; of floats 1.0 does


class TrainingDataset(Dataset):
    """Augmented training samples.

    Args:
        table: rows to draw from.
        source: reads a row: a decoder, or a cache that holds what it read.
        targets: what derives truth from truth, after augmentation.
        augmentation: albumentations transforms and our own augmentations, in order.
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
        import albumentations  # half a second, which --help need not wait for

        self.source, self.targets, self.windows = source, targets, windows
        boxes = None
        if any(target.boxes for target in targets):
            boxes = albumentations.BboxParams("pascal_voc", label_fields=["box_numbers"], clip=True, min_visibility=0.1)
        # Neighbours of one kind work together: albumentations checks and seeds once per Compose.
        self.augmentation = [
            step if isinstance(step, Augmentation) else albumentations.Compose(step, bbox_params=boxes)
            for step in _runs(augmentation)
        ]

    def __len__(self) -> int:
        return len(self.rows) if self.windows is None else len(self.windows)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        index, row = draw.index, None
        if self.windows is not None:
            # A stream of its own: the augmentation of a seed stays what it is without windows.
            random = np.random.default_rng([draw.seed, 1])
            index, row = self.windows.row(draw.index, random)
        row = row or self.rows[index]
        image, arrays = self.source.read(row)
        if self.windows is not None:
            image, arrays = self.windows.finish(image, arrays, random)
        if image.ndim == 3:  # pictures, not volumes
            random = np.random.default_rng([draw.seed, 2])
            for number, step in enumerate(self.augmentation):
                if isinstance(step, Augmentation):
                    image, arrays = step.sample(image, arrays, FULL.get(image.dtype.name, 1.0), random)
                    continue
                step.set_random_seed(draw.seed + number)
                image, arrays = augment(step, image, arrays)
        arrays = derive(self.targets, arrays)
        arrays.pop("instances", None)
        return to_sample(row, image, arrays, self.features[index])


class EvaluationDataset(Dataset):
    """Images as they are, with their truth where there is any.

    Args:
        table: rows.
        source: reads a row: a decoder, or a cache that holds what it read.
        targets: what derives truth from truth; empty for images without truth.
        features: numeric columns of the table that become `features`.
    """

    def __init__(
        self, table: pd.DataFrame, source: Decoder | DecodedCache, targets: list[Target], features: list[str]
    ) -> None:
        self.rows, self.features = rows_of(table), numbers(table, features)
        self.source, self.targets = source, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        image, arrays = self.source.read(row)
        return to_sample(row, image, derive(self.targets, arrays), self.features[index])


def _runs(steps: list) -> list:
    """Augmentations of ours, and lists of neighbouring albumentations transforms between them."""
    runs: list = []
    for step in steps:
        if isinstance(step, Augmentation):
            runs.append(step)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def derive(targets: list[Target], arrays: Arrays) -> Arrays:
    """The arrays and what the targets derive from them, in order."""
    for target in targets:
        arrays = arrays | target.derive(arrays)
    return arrays


def augment(augmentation: "albumentations.Compose", image: np.ndarray, arrays: Arrays) -> tuple[np.ndarray, Arrays]:
    """Move image and spatial targets together; masks by the nearest pixel, so that no value is invented.

    `boxes` `(n, 4)` xyxy are clipped to the crop and dropped, with their `labels`, when less than a tenth remains.
    """
    spatial = {name: array for name, array in arrays.items() if array.ndim >= 2 and name != "boxes"}
    # Plane by plane, because albumentations wants equal shapes. cv2 has no 64-bit remapping; class numbers fit into 16.
    planes: list[np.ndarray] = []
    for array in spatial.values():
        small = array.astype(np.uint8 if array.dtype in (bool, np.uint8) else np.uint16, copy=False)
        planes += list(small) if array.ndim == 3 else [small]
    given: dict[str, Any] = {"masks": planes} if planes else {}
    if "boxes" in arrays:
        given |= {"bboxes": arrays["boxes"], "box_numbers": np.arange(len(arrays["boxes"]))}
    result = augmentation(image=image, **given)
    if "boxes" in arrays:
        kept = np.asarray(result["box_numbers"], np.int64)
        arrays["boxes"] = np.asarray(result["bboxes"], np.float32).reshape(-1, 4)
        arrays |= {name: arrays[name][kept] for name in ("labels",) if name in arrays}
    moved = iter(result.get("masks", []))
    for name, before in spatial.items():
        after = np.stack([next(moved) for _ in before]) if before.ndim == 3 else next(moved)
        arrays[name] = after.astype(before.dtype, copy=False)
    return result["image"], arrays


def to_sample(row: Any, image: np.ndarray, arrays: Arrays, features: np.ndarray) -> dict[str, Any]:
    """The sample dict of one image; `features` only where there are any."""
    sample: dict[str, Any] = {
        "image_id": row.image_id,
        "image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))),
        "original_size": image.shape[:-1],
        "weight": torch.tensor(float(row.weight)),
    }
    if len(features):
        sample["features"] = torch.from_numpy(features)
    for name, array in arrays.items():
        array = array.astype(np.int32) if array.dtype == np.uint16 else array
        # ascontiguousarray makes one dimension of none, which the number of a class has.
        sample[name] = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    return sample
