"""Soft quadratic weighted kappa."""

import torch
from torch import Tensor, nn

from losses.inputs import Logits, check


class KappaLoss(nn.Module):
    """−κ of grades 0 … K − 1 over the batch, from −1 (perfect) via 0 (chance) to +1 (reversed).

    κ = 1 − Σ W O / Σ W E with W = (i − j)² / (K − 1)², O the weighted counts of (predicted, target) and E the counts
    expected by chance. Predictions are powers of the softmax probabilities, scaled to a sum of 1 (BloodAxe, APTOS 2019,
    10th place, with a focal loss: `focal(label) + kappa(label)`; de la Torre et al. 2018). Batches need several grades.

    Args:
        power: exponent of the probabilities; 2, the source's choice, sharpens them.

    Example:
        >>> import torch
        >>> from losses.kappa import KappaLoss
        >>> grades = torch.tensor([0, 1, 2, 3, 4])
        >>> right = 20 * torch.eye(5)  # (N, K): one logit per grade
        >>> round(KappaLoss()(right, grades).item(), 2), round(KappaLoss()(right.flip(1), grades).item(), 2)
        (-1.0, 1.0)
    """

    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        grades = inputs.target.shape[1]
        if grades < 2:
            raise ValueError("kappa: expected one logit per grade, got 1; use smooth_l1 for regression of the grade")
        p = inputs.logits.softmax**self.power
        p = (p / p.sum(1, keepdim=True)).movedim(1, -1).reshape(-1, grades)
        y = inputs.target
        if inputs.weight is not None:
            y = y * inputs.weight
        y = y.movedim(1, -1).reshape(-1, grades)
        numbers = torch.arange(grades, device=p.device, dtype=p.dtype)
        costs = (numbers[:, None] - numbers[None]) ** 2 / (grades - 1) ** 2
        counted = y.sum(1, keepdim=True)
        observed = (costs * (p.T @ y)).sum()
        chance = (costs * torch.outer((p * counted).sum(0), y.sum(0))).sum() / counted.sum().clamp_min(1e-12)
        return inputs.unless_void(observed / chance.clamp_min(1e-7) - 1)
