"""Boundary difference over union."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check


class BoundaryDouLoss(nn.Module):
    """(Σp² + Σy² − 2Σpy) / (Σp² + Σy² − (1 + α)Σpy), mean over classes (Sun et al. 2023, arxiv.org/abs/2308.00220).

    α = 1 − 2 · boundary pixels / area, at most 0.8. For large objects, whose boundary is a small fraction of their
    area, the union shrinks to the difference of target and prediction, which is at the boundary. A target pixel is at
    the boundary when one of its 4 (6 in volumes) neighbours is outside the target; ignored pixels and those beyond the
    image are outside.

    Args:
        limit: largest α; 0.8 in the paper.
        smooth: constant added to numerator and denominator; keeps empty classes finite.

    Example:
        >>> import torch
        >>> from losses.boundary_dou import BoundaryDouLoss
        >>> target = torch.zeros(1, 1, 32, 32)
        >>> target[..., 8:24, 8:24] = 1
        >>> shifted = target.roll(1, dims=-1)  # off by one pixel
        >>> loss = BoundaryDouLoss()
        >>> round(loss(20 * target - 10, target).item(), 3), round(loss(20 * shifted - 10, target).item(), 3)
        (0.0, 0.221)
    """

    def __init__(self, limit: float = 0.8, smooth: float = 1e-5) -> None:
        super().__init__()
        self.limit, self.smooth = limit, smooth

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        y, p = inputs.target, inputs.probabilities
        axes = (0, *range(2, y.dim()))

        def total(values: Tensor) -> Tensor:
            return (values if inputs.weight is None else values * inputs.weight).sum(axes)

        with torch.no_grad():
            share = (total(_boundary(y)) + self.smooth) / (total(y) + self.smooth)
            alpha = (1 - 2 * share).clamp(max=self.limit)
        inside, squares = total(p * y), total(p * p) + total(y * y)
        loss = (squares - 2 * inside + self.smooth) / (squares - (1 + alpha) * inside + self.smooth)
        return inputs.unless_void(loss.mean())


def _boundary(target: Tensor) -> Tensor:
    """Target pixels with a neighbour outside the target, or outside the image."""
    inner = (target > 0.5).to(target.dtype)
    full = inner.clone()
    for axis in range(2, target.dim()):
        pad = [0, 0] * (target.dim() - 1 - axis) + [1, 1]
        padded, size = F.pad(inner, pad), inner.shape[axis]
        full = full * padded.narrow(axis, 0, size) * padded.narrow(axis, 2, size)
    return inner - full
