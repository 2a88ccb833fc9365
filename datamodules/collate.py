"""Collation of samples into batches."""

from typing import Any

import numpy as np
import torch

from datamodules.targets.boxes import ARRAYS

Sample = dict[str, Any]


def collate_training(samples: list[Sample]) -> dict[str, Any]:
    """Stack the tensors of training samples; ids, sizes, boxes and their labels become lists.

    Raises:
        ValueError: if samples have different sizes or types; names two of them.
    """
    batch: dict[str, Any] = {}
    samples = _with_valid(samples)
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        if not isinstance(first, torch.Tensor) or name in ARRAYS:
            batch[name] = values
            continue
        other = next((sample for sample in samples if sample[name].shape != first.shape), None)
        if other is not None:
            raise ValueError(
                f"{name} of {samples[0]['image_id']!r} is {tuple(first.shape)}, of {other['image_id']!r} "
                f"{tuple(other[name].shape)}, but a training batch needs equal sizes; add a crop to data.augmentation, "
                "for example albumentations.RandomCrop with pad_if_needed"
            )
        batch[name] = torch.stack(_of_one_type(name, samples) if name == "image" else values)
    return batch


def _of_one_type(name: str, samples: list[Sample]) -> list[torch.Tensor]:
    """Convert the images of samples to one type, if they are volumes, whose values are measurements in any type.

    Raises:
        ValueError: if 2-D images have different types; names two of them.
    """
    values = [sample[name] for sample in samples]
    other = next((sample for sample in samples if sample[name].dtype != values[0].dtype), None)
    if other is None or all(value.is_floating_point() for value in values):
        return values
    if values[0].dim() == 3:
        raise ValueError(
            f"{name} of {samples[0]['image_id']!r} is {values[0].dtype}, of {other['image_id']!r} "
            f"{other[name].dtype}, so equal values differ in brightness; convert all images to one bit depth: "
            "python cli.py prepare --bits 8 (or 16)"
        )
    common = np.result_type(*(value.numpy() for value in values))
    return [torch.from_numpy(value.numpy().astype(common)) for value in values]


def collate_evaluation(samples: list[Sample]) -> dict[str, list]:
    """Collect everything in lists: images of any size, unchanged."""
    samples = _with_valid(samples)
    return {name: [sample[name] for sample in samples] for name in samples[0]}


def _with_valid(samples: list[Sample]) -> list[Sample]:
    """Add a `valid` of all True to samples without one, if any sample has one."""
    if not any("valid" in sample for sample in samples):
        return samples
    whole = [torch.ones(tuple(sample["original_size"]), dtype=torch.bool) for sample in samples]
    return [{"valid": valid} | sample for valid, sample in zip(whole, samples, strict=True)]
