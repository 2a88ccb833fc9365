"""Smooth L1 (Huber) for regression."""

from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check


class SmoothL1Loss(nn.Module):
    """Quadratic below `beta`, linear above, on the raw output (APTOS 2019, 1st place).

    Args:
        beta: where the quadratic part ends; towards 0 it becomes L1.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        return inputs.mean(F.smooth_l1_loss(inputs.logits.value, inputs.target, beta=self.beta, reduction="none"))
