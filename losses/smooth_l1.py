"""Smooth L1 (Huber) for regression."""

from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check


class SmoothL1Loss(nn.Module):
    """Quadratic below `beta`, linear above, on the raw output (APTOS 2019, 1st place).

    Args:
        beta: error at which the loss turns from quadratic to linear; 0 is L1.

    Example:
        >>> import torch
        >>> from losses.smooth_l1 import SmoothL1Loss
        >>> output, target = torch.tensor([[2.5], [4.0]]), torch.tensor([[3.0], [2.0]])
        >>> SmoothL1Loss()(output, target).item()  # the mean of 0.5² / 2 and 2 - 1 / 2
        0.8125
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        return inputs.mean(F.smooth_l1_loss(inputs.logits.value, inputs.target, beta=self.beta, reduction="none"))
