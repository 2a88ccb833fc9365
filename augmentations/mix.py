"""Mixing of two images: mixup, cutmix, and copy-paste of objects by their masks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentations.base import Augmentation, spatial


class _Mix(Augmentation):
    """Base of the three: the choice of partners."""

    def __init__(self, p: float, same: str | None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, expected a probability in [0, 1]")
        self.p, self.same = p, same

    def partners(self, batch: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
        """Index of each sample's partner; its own index if it is not mixed."""
        count = len(batch["image"])
        if "boxes" in batch:
            raise ValueError(
                f"{type(self).__name__} mixes images, masks and labels, but cannot mix boxes, which this batch has"
            )
        keys = np.zeros(count, int)
        if self.same is not None:
            if self.same not in batch:
                raise ValueError(f"{type(self).__name__}: same is {self.same!r}, but the batch has {sorted(batch)}")
            values = batch[self.same]
            values = values.flatten(1).tolist() if isinstance(values, Tensor) and values.dim() > 1 else list(values)
            keys = np.unique([str(value) for value in values], return_inverse=True)[1]
        partners = np.arange(count)
        for key in np.unique(keys):
            members = np.flatnonzero(keys == key)
            # A ring in random order: no sample is its own partner, and each is used once.
            ring = rng.permutation(members)
            partners[ring] = np.roll(ring, 1)
        return np.where(rng.random(count) < self.p, partners, np.arange(count))


def _places(batch: dict[str, Any], partners: np.ndarray) -> Tensor:
    """The partners on the batch's device; samples of weight 0 are ignored, so they are no partners."""
    index = torch.from_numpy(partners).to(batch["image"].device)
    if not isinstance(batch.get("weight"), Tensor):
        return index
    return torch.where(batch["weight"][index] > 0, index, torch.arange(len(index), device=index.device))


class Mixup(_Mix):
    """λ · one + (1 − λ) · another, for images and targets (Zhang et al. 2018, arxiv.org/abs/1710.09412).

    Masks and labels become soft; class numbers cannot, so use one-hot labels, or `Cutmix` for masks of class numbers. A
    pixel is valid if it is valid in both.

    Args:
        p: probability per sample, in [0, 1].
        alpha: parameter of the Beta distribution of λ, above 0; 0.2 to 0.4 in the paper, 1 is uniform.
        same: name of a batch entry, such as `group` or `label`, that must be equal in both samples (default: any pair).
    """

    def __init__(self, p: float = 0.5, alpha: float = 0.4, same: str | None = None) -> None:
        super().__init__(p, same)
        if alpha <= 0:
            raise ValueError(f"Mixup: alpha is {alpha}, expected a number above 0")
        self.alpha = alpha

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        partners = self.partners(batch, rng)
        device = batch["image"].device
        share = torch.from_numpy(rng.beta(self.alpha, self.alpha, len(partners)).astype(np.float32)).to(device)
        index = _places(batch, partners)
        result = dict(batch)
        for name, value in batch.items():
            if not isinstance(value, Tensor) or name == "weight":
                continue
            if name == "valid":
                result[name] = value & value[index]
            elif name != "image" and not (value.is_floating_point() or value.dtype in (torch.uint8, torch.bool)):
                raise ValueError(
                    f"Mixup: {name} holds class numbers, which cannot be averaged; use one-hot labels or Cutmix"
                )
            else:
                lam = share.view(-1, *[1] * (value.dim() - 1))
                result[name] = value * lam + value[index] * (1 - lam)
        return result


class Cutmix(_Mix):
    """Replaces a rectangle of an image and its masks by another's (Yun et al. 2019, arxiv.org/abs/1905.04899).

    Image-level labels are mixed by area; class numbers raise an error. In volumes the rectangle spans all slices.

    Args:
        p: probability per sample, in [0, 1].
        alpha: parameter of the Beta distribution of the fraction that is kept, above 0; 1 (uniform) in the paper.
        same: name of a batch entry that must be equal in both samples (default: any pair).
    """

    def __init__(self, p: float = 0.5, alpha: float = 1.0, same: str | None = None) -> None:
        super().__init__(p, same)
        if alpha <= 0:
            raise ValueError(f"Cutmix: alpha is {alpha}, expected a number above 0")
        self.alpha = alpha

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images = batch["image"]
        count, (height, width) = len(images), images.shape[-2:]
        partners = self.partners(batch, rng)
        stays = rng.beta(self.alpha, self.alpha, count)
        sides = np.sqrt(1 - stays)[:, None] * [height, width]
        middle = rng.random((count, 2)) * [height, width]
        low = np.clip(np.rint(middle - sides / 2), 0, [height, width]).astype(int)
        high = np.clip(np.rint(middle + sides / 2), 0, [height, width]).astype(int)
        rows, columns = np.arange(height), np.arange(width)
        inside = (rows >= low[:, :1]) & (rows < high[:, :1])
        across = (columns >= low[:, 1:]) & (columns < high[:, 1:])
        box = torch.from_numpy(inside[:, :, None] & across[:, None]).to(images.device)
        share = box.flatten(1).float().mean(1)
        index = _places(batch, partners)
        result = dict(batch)
        for name in ("image", *spatial(batch)):
            value = batch[name]
            cut = box.view(count, *[1] * (value.dim() - 3), height, width)
            result[name] = torch.where(cut, value[index], value)
        return result | _mixed_labels("Cutmix", batch, index, share)


class CopyPaste(_Mix):
    """Pastes the objects of another image, with their masks (Ghiasi et al. 2021, arxiv.org/abs/2012.07177).

    Masks `(N, K, …)` of 0 and 1 become their union; class numbers, ids and float maps are those of the pasted pixels.
    Image-level labels become the maximum of both.

    Args:
        p: probability per sample, in [0, 1].
        mask: name of the mask whose pixels above 0 are pasted.
        same: name of a batch entry, such as the organ or microscope, that must be equal in both samples (default: any
            pair).
    """

    def __init__(self, p: float = 0.5, mask: str = "mask", same: str | None = None) -> None:
        super().__init__(p, same)
        self.mask = mask

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        names = spatial(batch)
        if self.mask not in names:
            raise ValueError(f"CopyPaste: mask is {self.mask!r}, but the batch has the masks {names}")
        images = batch["image"]
        index = _places(batch, self.partners(batch, rng))
        axes, mask = images.dim() - 2, batch[self.mask]
        objects = mask > 0 if mask.dim() == axes + 1 else (mask > 0).any(1)
        pasted = (objects & batch["valid"] if "valid" in batch else objects)[index]
        result = dict(batch)
        for name in ("image", *names):
            value = batch[name]
            where = pasted if value.dim() == axes + 1 else pasted[:, None]
            taken = torch.where(where, value[index], value)
            flags = name != "image" and value.dim() == axes + 2 and value.dtype in (torch.uint8, torch.bool)
            result[name] = torch.maximum(taken, value) if flags else taken
        for name, value in batch.items():
            if isinstance(value, Tensor) and value.is_floating_point() and name not in ("image", "weight", *names):
                result[name] = torch.maximum(value, value[index]) if value.dim() == 2 else value
        return result


def _mixed_labels(what: str, batch: dict[str, Any], index: Tensor, share: Tensor) -> dict[str, Tensor]:
    """Image-level targets, mixed by the fraction of the other image."""
    found = {}
    for name, value in batch.items():
        if not isinstance(value, Tensor) or value.dim() > 2 or name in ("image", "weight"):
            continue
        if not value.is_floating_point():
            raise ValueError(f"{what}: {name} holds class numbers, which cannot be averaged; use one-hot labels")
        lam = share.view(-1, *[1] * (value.dim() - 1))
        found[name] = value * (1 - lam) + value[index] * lam
    return found
