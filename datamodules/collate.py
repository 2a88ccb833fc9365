"""From samples to a batch."""

from typing import Any

import numpy as np
import torch

from datamodules.targets.boxes import ARRAYS

Sample = dict[str, Any]


def collate_training(samples: list[Sample]) -> dict[str, Any]:
    """Stack the tensors of training samples; ids, sizes, boxes and their labels become lists.

    Raises:
        ValueError: samples of different sizes or kinds; names two of them.
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
                f"{tuple(other[name].shape)}: a training batch needs one size. Add a crop to data.augmentation, for "
                "example albumentations.RandomCrop with pad_if_needed"
            )
        batch[name] = torch.stack(_of_one_type(name, samples) if name == "image" else values)
    return batch


def _of_one_type(name: str, samples: list[Sample]) -> list[torch.Tensor]:
    """The images of samples in one type; numbers of a volume are measures, whatever its type.

    Raises:
        ValueError: pictures of several types; names two of them.
    """
    values = [sample[name] for sample in samples]
    other = next((sample for sample in samples if sample[name].dtype != values[0].dtype), None)
    if other is None or all(value.is_floating_point() for value in values):
        return values
    if values[0].dim() == 3:
        raise ValueError(
            f"{name} of {samples[0]['image_id']!r} is {values[0].dtype}, of {other['image_id']!r} "
            f"{other[name].dtype}: the same number means another brightness in each. Bring all pictures to one depth: "
            "python cli.py prepare --bits 8 (or 16)"
        )
    common = np.result_type(*(value.numpy() for value in values))
    return [torch.from_numpy(value.numpy().astype(common)) for value in values]


def collate_evaluation(samples: list[Sample]) -> dict[str, list]:
    """Lists of everything: images of any sizes, as they are."""
    samples = _with_valid(samples)
    return {name: [sample[name] for sample in samples] for name in samples[0]}


def _with_valid(samples: list[Sample]) -> list[Sample]:
    """Where a sample says which pixels count, the others say that all do."""
    if not any("valid" in sample for sample in samples):
        return samples
    whole = [torch.ones(tuple(sample["original_size"]), dtype=torch.bool) for sample in samples]
    return [{"valid": valid} | sample for valid, sample in zip(whole, samples, strict=True)]
