"""Tversky and focal Tversky."""

from torch import Tensor, nn

from losses.inputs import Logits, check, overlap


class TverskyLoss(nn.Module):
    """(1 − TP / (TP + α FP + β FN))^γ, mean over classes (Salehi et al. 2017; Abraham & Khan 2019 for γ).

    Args:
        alpha: weight of false positives; α = β = 0.5 is Dice.
        beta: weight of false negatives; β > α favours recall.
        gamma: exponent γ; below 1 it focuses on classes that are nearly right, above 1 on the others.
        per_image: whether to average one loss per image instead of computing one over the batch.
        smooth: smoothing constant; keeps empty classes finite.

    Example:
        >>> import torch
        >>> from losses.tversky import TverskyLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]]])
        >>> wide, narrow = torch.full((1, 1, 2, 2), 20.0), torch.tensor([[[[20.0, -20.0], [-20.0, -20.0]]]])
        >>> recall = TverskyLoss(alpha=0.3, beta=0.7)
        >>> round(recall(wide, target).item(), 3), round(recall(narrow, target).item(), 3)
        (0.167, 0.259)
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, gamma: float = 1.0, per_image: bool = False, smooth: float = 1.0
    ) -> None:
        super().__init__()
        self.alpha, self.beta, self.gamma, self.per_image, self.smooth = alpha, beta, gamma, per_image, smooth

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        inside, predicted, true = overlap(inputs, self.per_image)
        false_positive, false_negative = predicted - inside, true - inside
        below = inside + self.alpha * false_positive + self.beta * false_negative + self.smooth
        loss = 1 - (inside + self.smooth) / below.clamp_min(1e-7)
        # The gradient of a power below 1 is infinite at 0.
        loss = loss.clamp_min(1e-7) ** self.gamma if self.gamma != 1 else loss
        return inputs.unless_void(inputs.mean_of_images(loss) if self.per_image else loss.mean())
