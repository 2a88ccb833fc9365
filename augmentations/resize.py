"""Training batches of another size than the loader's."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augmentations.base import Augmentation, spatial


class Resize(Augmentation):
    """Scale or crop a batch on the device; masks by nearest neighbour, float maps like the image.

    Args:
        size: size `[H, W]` of the output, or one number for both; None keeps the size. `callbacks.ImageSize` changes it
            over the epochs.
        how: `scale` resamples the full image (linear, antialiased), `crop` takes a random crop of each sample.

    Raises:
        ValueError: the size is below 1, batches are not 2-D images, or images are smaller than the crop.
    """

    def __init__(self, size: int | list[int] | None = None, how: Literal["scale", "crop"] = "scale") -> None:
        self.size, self.how = sides(size), how

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images: Tensor = batch["image"]
        if images.dim() != 4:
            raise ValueError(f"Resize: expected images (N, C, H, W), got {tuple(images.shape)}")
        before = images.shape[2], images.shape[3]
        if self.size is None or self.size == before:
            return batch
        return self._cropped(batch, self.size, rng) if self.how == "crop" else _scaled(batch, self.size)

    def _cropped(self, batch: dict[str, Any], size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        images, (height, width) = batch["image"], size
        free = np.array(images.shape[2:]) - size
        if free.min() < 0:
            raise ValueError(
                f"Resize: the crop {list(size)} is larger than the images, {list(images.shape[2:])}; make "
                "data.augmentation return larger images"
            )
        corners = rng.integers(0, free + 1, (len(images), 2)).tolist()
        result = dict(batch)
        for name in ("image", *spatial(batch)):
            parts = [
                value[..., y : y + height, x : x + width] for value, (y, x) in zip(batch[name], corners, strict=True)
            ]
            result[name] = torch.stack(parts)
        if "boxes" in batch:
            limits = torch.tensor([width, height, width, height], device=images.device)
            moved = [
                (boxes - torch.tensor([x, y, x, y], device=boxes.device)).clamp(min=0).minimum(limits)
                for boxes, (y, x) in zip(batch["boxes"], corners, strict=True)
            ]
            seen = [((boxes[:, 2:] - boxes[:, :2]) > 0).all(1) for boxes in moved]
            result["boxes"] = [boxes[held] for boxes, held in zip(moved, seen, strict=True)]
            if "labels" in batch:
                result["labels"] = [labels[held] for labels, held in zip(batch["labels"], seen, strict=True)]
        return result


def _scaled(batch: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    images = batch["image"]
    floats = images.int().to(torch.float32) if images.dtype == torch.uint16 else images.to(torch.float32)
    result = dict(batch)
    result["image"] = F.interpolate(floats, size, mode="bilinear", antialias=True)
    rows, columns = (
        torch.div(torch.arange(after, device=images.device) * 2 + 1, 2 * after / before, rounding_mode="floor").long()
        for before, after in zip(images.shape[2:], size, strict=True)
    )
    names = spatial(batch)
    floats = [name for name in names if batch[name].is_floating_point()]
    for name in names:
        result[name] = _smoothed(batch[name], size) if name in floats else batch[name][..., rows[:, None], columns]
    if floats and "valid" in batch:  # a value that depends on void is invalid
        result["valid"] = result["valid"] & (_smoothed((~batch["valid"]).float(), size) == 0)
    if "boxes" in batch:
        factors = [size[1] / images.shape[3], size[0] / images.shape[2]] * 2
        result["boxes"] = [boxes * torch.tensor(factors, device=boxes.device) for boxes in batch["boxes"]]
    return result


def _smoothed(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Float maps `(N, K, H, W)` or `(N, H, W)` resampled like the image; keeps the type."""
    wide = maps if maps.dtype == torch.float64 else maps.to(torch.float32)
    wide = wide if maps.dim() == 4 else wide[:, None]
    found = F.interpolate(wide, size, mode="bilinear", antialias=True).to(maps.dtype)
    return found if maps.dim() == 4 else found[:, 0]


def sides(size: int | list[int] | None) -> tuple[int, int] | None:
    """`(H, W)` of a size in a config.

    Raises:
        ValueError: the size is not one or two numbers of 1 or more.
    """
    if size is None:
        return None
    both = [size, size] if isinstance(size, int) else list(size)
    if len(both) != 2 or min(both) < 1:
        raise ValueError(f"size is {size}, expected a number of pixels or [H, W], 1 or more")
    return both[0], both[1]
