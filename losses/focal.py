"""Focal loss."""

from torch import Tensor, nn

from losses.inputs import Logits, check


class FocalLoss(nn.Module):
    """Mean of −(1 − p_true)^γ log p_true (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    Sigmoid per channel, or softmax when the target holds class numbers.

    Args:
        gamma: how much easy pixels are discounted; 0 is plain cross-entropy, 2 the paper's choice.
        alpha: weight of the positives, 1 − alpha of the negatives; None weighs both the same (HPA, 3rd place).
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        view, truth = inputs.logits, inputs.target
        if inputs.index is not None:
            cross = -(truth * view.log_softmax)
            loss = cross * (1 - view.softmax).clamp_min(1e-12) ** self.gamma
            return inputs.mean(loss) * truth.shape[1]
        p, log_p = view.sigmoid, view.log_sigmoid
        # The clamp keeps the slope of the power finite where p is exactly 0 or 1 in floating point.
        positive = -truth * log_p * (1 - p).clamp_min(1e-12) ** self.gamma
        negative = -(1 - truth) * (log_p - view.value) * p.clamp_min(1e-12) ** self.gamma
        if self.alpha is not None:
            positive, negative = positive * self.alpha, negative * (1 - self.alpha)
        return inputs.mean(positive + negative)
