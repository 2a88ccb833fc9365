"""Building blocks of the most common losses with hand-written gradients.

Autograd's graph of `bce + dice + focal` allocates about twenty tensors of the logits' size, and on a CPU allocating one
costs more than computing it. Here each block keeps one. Under `torch.compile` the plain expressions are used: the
compiler fuses them better.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def cross_entropy(logits: Tensor, target: Tensor, sigmoid: Tensor) -> Tensor:
    """Elementwise binary cross-entropy, the shape of the logits; `sigmoid` is the precomputed sigmoid of the logits."""
    if torch.compiler.is_compiling() or target.requires_grad:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return _CrossEntropy.apply(logits, target, sigmoid.detach())


def focal(cross: Tensor, gamma: float) -> Tensor:
    """(1 − p)^γ · cross, with p = exp(−cross) the probability of the target (0 or 1); the shape of `cross`."""
    if torch.compiler.is_compiling() or gamma != 2:
        share = -torch.expm1(-cross)
        # Below a power of 1 the gradient is infinite where p is exactly 0 or 1 in floating point.
        return cross * (share if gamma >= 1 else share.clamp_min(1e-12)) ** gamma
    return _SquaredFocal.apply(cross)


def overlap(probabilities: Tensor, target: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of probability · target, of the probabilities and of the target over `axes`."""
    if torch.compiler.is_compiling() or target.requires_grad:
        return (probabilities * target).sum(axes), probabilities.sum(axes), target.sum(axes)
    return _Overlap.apply(probabilities, target, axes)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, sigmoid: Tensor) -> Tensor:
        ctx.save_for_backward(target, sigmoid)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        target, sigmoid = ctx.saved_tensors
        return torch.sub(sigmoid, target).mul_(upstream), None, None


class _SquaredFocal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cross: Tensor) -> Tensor:
        share = torch.neg(cross).expm1_().neg_()
        slope = torch.sub(1, share).mul_(cross).mul_(2).add_(share).mul_(share)
        ctx.save_for_backward(slope)
        return share.mul_(share).mul_(cross)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return slope * upstream


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, target: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(target)
        ctx.axes = axes
        true = target.sum(axes)
        ctx.mark_non_differentiable(true)
        return (probabilities * target).sum(axes), probabilities.sum(axes), true

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, inside: Tensor, predicted: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        (target,) = ctx.saved_tensors
        for axis in sorted(ctx.axes):
            inside, predicted = inside.unsqueeze(axis), predicted.unsqueeze(axis)
        return torch.addcmul(predicted, target, inside), None, None
