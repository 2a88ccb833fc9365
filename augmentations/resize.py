"""Training batches at another size than the loader gives."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augmentations.base import Augmentation, spatial


class Resize(Augmentation):
    """Scale a batch to a size, or crop it, on the device; masks by the nearest pixel, maps of floats as the picture.

    Args:
        size: `[H, W]` of the output, one number for both; None leaves batches as they are. `callbacks.ImageSize`
            changes it from epoch to epoch.
        how: `scale` resamples the whole picture (linear, smoothed where it shrinks), `crop` cuts a random part of
            each sample.

    Raises:
        ValueError: a size below 1, batches that are no pictures, or smaller than the crop.
    """

    def __init__(self, size: int | list[int] | None = None, how: Literal["scale", "crop"] = "scale") -> None:
        self.size, self.how = sides(size), how

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images: Tensor = batch["image"]
        if images.dim() != 4:
            raise ValueError(f"Resize is for pictures (N, C, H, W), got {tuple(images.shape)}")
        before = images.shape[2], images.shape[3]
        if self.size is None or self.size == before:
            return batch
        return self._cropped(batch, self.size, rng) if self.how == "crop" else _scaled(batch, self.size)

    def _cropped(self, batch: dict[str, Any], size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        images, (height, width) = batch["image"], size
        free = np.array(images.shape[2:]) - size
        if free.min() < 0:
            raise ValueError(
                f"Resize: a crop of {list(size)} of pictures of {list(images.shape[2:])}; let data.augmentation give "
                "larger ones"
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
    if floats and "valid" in batch:  # a number made of void is none
        result["valid"] = result["valid"] & (_smoothed((~batch["valid"]).float(), size) == 0)
    if "boxes" in batch:
        factors = [size[1] / images.shape[3], size[0] / images.shape[2]] * 2
        result["boxes"] = [boxes * torch.tensor(factors, device=boxes.device) for boxes in batch["boxes"]]
    return result


def _smoothed(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps of numbers `(N, K, H, W)` or `(N, H, W)` resampled as the picture is; their type stays."""
    wide = maps if maps.dtype == torch.float64 else maps.to(torch.float32)
    wide = wide if maps.dim() == 4 else wide[:, None]
    found = F.interpolate(wide, size, mode="bilinear", antialias=True).to(maps.dtype)
    return found if maps.dim() == 4 else found[:, 0]


def sides(size: int | list[int] | None) -> tuple[int, int] | None:
    """`(H, W)` of a size as a config writes it.

    Raises:
        ValueError: not one or two numbers of 1 or more.
    """
    if size is None:
        return None
    both = [size, size] if isinstance(size, int) else list(size)
    if len(both) != 2 or min(both) < 1:
        raise ValueError(f"the size is {size}, expected a number of pixels or [H, W], 1 or more")
    return both[0], both[1]
