"""Global poolings: feature maps of any size to vectors."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["avg", "max", "catavgmax", "gem"]


class GlobalPool(nn.Module):
    """Mean, maximum, or both concatenated, over all positions of a feature map.

    `catavgmax` was the input of two fully connected layers in HPA 2018's 1st place: the mean measures the amount of a
    pattern, the maximum its presence.

    Args:
        kind: `avg`, `max` or `catavgmax` (means first, twice the features).
    """

    def __init__(self, kind: Literal["avg", "max", "catavgmax"] = "avg") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, *spatial)` -> `(N, C)`, or `(N, 2 C)` for `catavgmax`."""
        places = features.flatten(2)
        if self.kind == "avg":
            return places.mean(2)
        if self.kind == "max":
            return places.amax(2)
        return torch.cat([places.mean(2), places.amax(2)], dim=1)


class GeneralizedMean(nn.Module):
    """(mean of x^p)^(1/p) over a feature map with a learnt p (Radenović et al. 2018, arxiv.org/abs/1711.02512).

    p = 1 is the mean, a large p the maximum; APTOS 2019's 1st place used it. It is computed in float32 as m · (mean of
    (x / m)^p)^(1/p) with the maximum m, because x^p overflows at p = 50.

    Args:
        p: initial power; 3 as in the paper.
        smallest: lower bound to which features are clamped, because a power needs positive numbers.
    """

    def __init__(self, p: float = 3.0, smallest: float = 1e-6) -> None:
        super().__init__()
        if p <= 0 or smallest <= 0:
            raise ValueError(f"GeneralizedMean: p is {p} and smallest {smallest}, expected positive numbers")
        self.p, self.smallest = nn.Parameter(torch.tensor([float(p)])), smallest

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, *spatial)` -> `(N, C)` in the type of the features."""
        with torch.autocast(features.device.type, enabled=False):
            places = features.flatten(2).float().clamp_min(self.smallest)
            largest = places.amax(2, keepdim=True).detach()
            power = self.p.float()
            pooled = largest.squeeze(2) * (places / largest).pow(power).mean(2).pow(1 / power)
        return pooled.to(features.dtype)


def pooling(kind: Pooling) -> tuple[nn.Module, int]:
    """The pooling of this name, and its number of features per channel."""
    if kind == "gem":
        return GeneralizedMean(), 1
    if kind not in ("avg", "max", "catavgmax"):
        raise ValueError(f"pooling is {kind!r}, expected avg, max, catavgmax or gem")
    return GlobalPool(kind), 2 if kind == "catavgmax" else 1
