"""Soft Jaccard (intersection over union)."""

from torch import Tensor, nn

from losses.inputs import Logits, check, overlap


class JaccardLoss(nn.Module):
    """1 − (Σpy + s) / (Σp + Σy − Σpy + s), mean over classes.

    Args:
        per_image: whether to average one coefficient per image instead of computing one over the batch.
        smooth: smoothing constant s; keeps empty classes finite.
        log: whether to take −log of the coefficient instead of 1 − coefficient (TernausNet).

    Example:
        >>> import torch
        >>> from losses.jaccard import JaccardLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]]])
        >>> logits = torch.full((1, 1, 2, 2), 20.0)  # all pixels predicted as positive
        >>> round(JaccardLoss(smooth=0.0)(logits, target).item(), 3)  # 2 of 4 pixels
        0.5
    """

    def __init__(self, per_image: bool = False, smooth: float = 1.0, log: bool = False) -> None:
        super().__init__()
        self.per_image, self.smooth, self.log = per_image, smooth, log

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        inside, predicted, true = overlap(inputs, self.per_image)
        score = ((inside + self.smooth) / (predicted + true - inside + self.smooth).clamp_min(1e-7)).clamp_min(1e-7)
        loss = -score.log() if self.log else 1 - score
        return inputs.unless_void(inputs.mean_of_images(loss) if self.per_image else loss.mean())
