"""The soft Dice coefficient, for formulas that use it directly."""

from torch import Tensor, nn

from losses.dice import DiceLoss
from losses.inputs import Logits


class DiceScoreLoss(nn.Module):
    """Soft Dice, 1 if perfect or all pixels are ignored: `1 + bce - dice_score`, `bce - log(dice_score)`.

    Args:
        per_image: whether to average one coefficient per image instead of computing one over the batch.
        smooth: smoothing constant; keeps empty classes finite.

    Example:
        >>> import torch
        >>> from losses.dice_score import DiceScoreLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]]])
        >>> round(DiceScoreLoss()(20.0 * target - 10, target).item(), 3)  # perfect; a formula subtracts it
        1.0
    """

    def __init__(self, per_image: bool = False, smooth: float = 1.0) -> None:
        super().__init__()
        self.dice = DiceLoss(per_image=per_image, smooth=smooth)

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        return 1 - self.dice(logits, target, weight)
