"""Mean absolute error for regression."""

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check


class L1Loss(nn.Module):
    """Mean of |x − y| on the raw output.

    Args:
        positives: whether to use only targets above 0. For a size or grade that negatives do not have, as the
            malignancy of a nodule (Data Science Bowl 2017, 2nd place, took 0 for what is no nodule).

    Example:
        >>> import torch
        >>> from losses.l1 import L1Loss
        >>> output, target = torch.tensor([[2.5], [1.0]]), torch.tensor([[3.0], [0.0]])
        >>> L1Loss()(output, target).item(), L1Loss(positives=True)(output, target).item()
        (0.75, 0.5)
    """

    def __init__(self, positives: bool = False) -> None:
        super().__init__()
        self.positives = positives

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        if self.positives:
            there = (inputs.target > 0).to(inputs.target.dtype)
            inputs = replace(inputs, weight=there if inputs.weight is None else there * inputs.weight)
        return inputs.mean(F.l1_loss(inputs.logits.value, inputs.target, reduction="none"))
