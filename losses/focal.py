"""Focal loss."""

from torch import Tensor, nn

from losses import analytic
from losses.inputs import Logits, check


class FocalLoss(nn.Module):
    """Mean of −(1 − p_true)^γ log p_true (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    Sigmoid per channel, or softmax when the target holds class numbers.

    Args:
        gamma: focusing exponent γ; 0 is plain cross-entropy, 2 the paper's choice.
        alpha: weight of the positives; negatives have 1 − alpha. None weights both the same (HPA, 3rd place).

    Example:
        >>> import torch
        >>> from losses.focal import FocalLoss
        >>> logits, target = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1], [1]])  # an easy and a hard positive
        >>> [round(FocalLoss(gamma=gamma)(logits, target).item(), 4) for gamma in (0.0, 2.0)]
        [0.7201, 0.3518]
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        view, y = inputs.logits, inputs.target
        if inputs.index is not None:
            cross = -(y * view.log_softmax)
            loss = cross * self._discount(1 - view.softmax)
            return inputs.mean(loss) * y.shape[1]
        if inputs.hard:
            # The probability of the target is exp(−cross-entropy): one exponential more than plain cross-entropy.
            cross = inputs.cross_entropy
            loss = analytic.focal(cross, self.gamma)
            return inputs.mean(loss if self.alpha is None else loss * (1 - self.alpha + (2 * self.alpha - 1) * y))
        p, log_p = view.sigmoid, view.log_sigmoid
        positive = y * log_p * self._discount(1 - p)
        negative = (1 - y) * (log_p - view.value) * self._discount(p)
        if self.alpha is not None:
            positive, negative = positive * self.alpha, negative * (1 - self.alpha)
        return -inputs.mean(positive + negative)

    def _discount(self, share: Tensor) -> Tensor:
        # Below a power of 1 the gradient is infinite where p is exactly 0 or 1 in floating point.
        return (share if self.gamma >= 1 else share.clamp_min(1e-12)) ** self.gamma
