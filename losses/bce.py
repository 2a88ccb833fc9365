"""Binary cross-entropy."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.inputs import Logits, check


class BceLoss(nn.Module):
    """Mean of −[y log p + (1 − y) log(1 − p)].

    Args:
        balance: whether positives and negatives get the same total weight in the batch (Xie & Tu 2015, HED: positives
            are weighted by the fraction of negatives, and vice versa).
        pos_weight: factor on the positives, one number or one per channel.
        smoothing: label smoothing, in [0, 1): the target moves towards 0.5 by this fraction.

    Example:
        >>> import torch
        >>> from losses.bce import BceLoss
        >>> logits = torch.tensor([[[[0.0, 2.0], [-2.0, 0.0]]]])  # (N, C, H, W)
        >>> target = torch.tensor([[[[0, 1], [0, 1]]]])
        >>> round(BceLoss()(logits, target).item(), 4)
        0.41
        >>> round(BceLoss(pos_weight=2.0)(logits, target).item(), 4)
        0.6151
    """

    pos_weight: Tensor

    def __init__(self, balance: bool = False, pos_weight: float | list[float] = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"bce: smoothing is {smoothing}, expected a number in [0, 1)")
        self.balance, self.smoothing = balance, smoothing
        self.plain = not balance and pos_weight == 1.0
        self.register_buffer("pos_weight", torch.tensor(pos_weight), persistent=False)

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        view, y = inputs.logits, inputs.target
        y = y * (1 - self.smoothing) + 0.5 * self.smoothing if self.smoothing else y
        if self.plain and not self.smoothing:
            return inputs.mean(inputs.cross_entropy)
        if self.plain:
            return inputs.mean(F.binary_cross_entropy_with_logits(view.value, y, reduction="none"))
        factor = self.pos_weight.to(y.dtype)
        if factor.dim() == 1:
            if len(factor) != y.shape[1]:
                raise ValueError(f"bce: pos_weight has {len(factor)} values, expected {y.shape[1]}, one per channel")
            factor = factor.reshape(-1, *[1] * (y.dim() - 2))
        positive = y * view.log_sigmoid * factor
        negative = (1 - y) * (view.log_sigmoid - view.value)
        if not self.balance:
            return inputs.mean(-(positive + negative))
        counted = torch.ones_like(y) if inputs.weight is None else inputs.weight.expand_as(y)
        share = (inputs.target * counted).sum() / counted.sum().clamp_min(1e-12)
        return inputs.mean(-(positive * (1 - share) + negative * share))
