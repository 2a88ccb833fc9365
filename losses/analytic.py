"""Pieces of the commonest losses with their gradients written out.

Autograd's own graph of `bce + dice + focal` makes some twenty maps of the logits' size, and on a CPU making a map costs
more than what is computed in it. Here each piece keeps one. While `torch.compile` traces, the plain expressions are
used: the compiler fuses them better.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def cross_entropy(logits: Tensor, truth: Tensor, sigmoid: Tensor) -> Tensor:
    """Binary cross-entropy of every number, the shape of the logits; `sigmoid` is theirs, computed already."""
    if torch.compiler.is_compiling() or truth.requires_grad:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return _CrossEntropy.apply(logits, truth, sigmoid.detach())


def focal(cross: Tensor, gamma: float) -> Tensor:
    """(1 − p)^γ · cross, where p = exp(−cross) is the probability of the truth (0 or 1), the shape of `cross`."""
    if torch.compiler.is_compiling() or gamma != 2:
        share = -torch.expm1(-cross)
        # Below a power of 1 the slope is infinite where p is exactly 0 or 1 in floating point.
        return cross * (share if gamma >= 1 else share.clamp_min(1e-12)) ** gamma
    return _SquaredFocal.apply(cross)


def overlap(probabilities: Tensor, truth: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of probability · truth, of the probabilities and of the truth over `axes`."""
    if torch.compiler.is_compiling() or truth.requires_grad:
        return (probabilities * truth).sum(axes), probabilities.sum(axes), truth.sum(axes)
    return _Overlap.apply(probabilities, truth, axes)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor, sigmoid: Tensor) -> Tensor:
        ctx.save_for_backward(truth, sigmoid)
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        truth, sigmoid = ctx.saved_tensors
        return torch.sub(sigmoid, truth).mul_(upstream), None, None


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
    def forward(ctx: Any, probabilities: Tensor, truth: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(truth)
        ctx.axes = axes
        true = truth.sum(axes)
        ctx.mark_non_differentiable(true)
        return (probabilities * truth).sum(axes), probabilities.sum(axes), true

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, inside: Tensor, predicted: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        (truth,) = ctx.saved_tensors
        for axis in sorted(ctx.axes):
            inside, predicted = inside.unsqueeze(axis), predicted.unsqueeze(axis)
        return torch.addcmul(predicted, truth, inside), None, None
