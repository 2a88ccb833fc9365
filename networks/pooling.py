"""Poolings that make a vector of a feature map of any size."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["avg", "max", "catavgmax", "gem"]


class GlobalPool(nn.Module):
    """Mean, maximum, or both side by side, over all places of a feature map.

    `catavgmax` is what HPA 2018's 1st place fed into two fully connected layers: the mean says how much of a pattern
    there is, the maximum whether it is there at all.

    Args:
        kind: `avg`, `max` or `catavgmax` (means first, twice the features).
    """

    def __init__(self, kind: Literal["avg", "max", "catavgmax"] = "avg") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, *places)` -> `(N, C)`, or `(N, 2 C)` for `catavgmax`."""
        places = features.flatten(2)
        if self.kind == "avg":
            return places.mean(2)
        if self.kind == "max":
            return places.amax(2)
        return torch.cat([places.mean(2), places.amax(2)], dim=1)


class GeneralizedMean(nn.Module):
    """(mean of x^p)^(1/p) over all places of a feature map, p learnt (Radenović et al. 2018, arxiv.org/abs/1711.02512).

    p = 1 is the mean, a large p the maximum; APTOS 2019's 1st place pooled so. Computed in float32, for which it is
    written as m · (mean of (x / m)^p)^(1/p) with m the maximum: x^p alone overflows at p = 50 already.

    Args:
        p: where the power starts; 3, as in the paper.
        smallest: what smaller (and negative) features are raised to: a power needs positive numbers. 1e-6.
    """

    def __init__(self, p: float = 3.0, smallest: float = 1e-6) -> None:
        super().__init__()
        if p <= 0 or smallest <= 0:
            raise ValueError(f"GeneralizedMean: p and smallest are positive, got {p} and {smallest}")
        self.p, self.smallest = nn.Parameter(torch.tensor([float(p)])), smallest

    def forward(self, features: Tensor) -> Tensor:
        """`(N, C, *places)` -> `(N, C)` in the type of the features."""
        with torch.autocast(features.device.type, enabled=False):
            places = features.flatten(2).float().clamp_min(self.smallest)
            largest = places.amax(2, keepdim=True).detach()
            power = self.p.float()
            pooled = largest.squeeze(2) * (places / largest).pow(power).mean(2).pow(1 / power)
        return pooled.to(features.dtype)


def pooling(kind: Pooling) -> tuple[nn.Module, int]:
    """The pooling of this name, and how many features it makes of one channel."""
    if kind == "gem":
        return GeneralizedMean(), 1
    if kind not in ("avg", "max", "catavgmax"):
        raise ValueError(f"pooling is {kind!r}, expected avg, max, catavgmax or gem")
    return GlobalPool(kind), 2 if kind == "catavgmax" else 1
