"""Soft Dice."""

from typing import Literal

from torch import Tensor, nn

from losses.inputs import Logits, check, overlap


class DiceLoss(nn.Module):
    """1 − (2 Σpy + s) / (Σp + Σy + s), mean over classes (Milletari et al. 2016, V-Net).

    Args:
        per_image: whether to average one Dice per image instead of computing one over the batch (selim_sef).
        empty: handling of classes with an empty target: `penalise` includes them, so that false positives cost;
            `ignore` leaves them out (as smp over the batch: a batch of empty targets then costs 0 for any prediction).
        smooth: smoothing constant s; keeps empty classes finite.
        log: whether to take −log of the coefficient instead of 1 − coefficient (Carvana, 5th place).

    Example:
        >>> import torch
        >>> from losses.dice import DiceLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]], [[[0, 0], [0, 0]]]])  # (N, C, H, W); the second image is empty
        >>> logits = torch.full((2, 1, 2, 2), 20.0)  # all pixels predicted as positive
        >>> round(DiceLoss()(logits, target).item(), 3)  # over the batch: 1 - (2 * 2 + 1) / (8 + 2 + 1)
        0.545
        >>> round(DiceLoss(per_image=True, empty="ignore")(logits, target).item(), 3)  # 1 - (2 * 2 + 1) / (4 + 2 + 1)
        0.286
    """

    def __init__(
        self,
        per_image: bool = False,
        empty: Literal["penalise", "ignore"] = "penalise",
        smooth: float = 1.0,
        log: bool = False,
    ) -> None:
        super().__init__()
        if empty not in ("penalise", "ignore"):
            raise ValueError(f"dice: empty is {empty!r}, expected 'penalise' or 'ignore'")
        self.per_image, self.empty, self.smooth, self.log = per_image, empty, smooth, log

    def forward(self, logits: Tensor | Logits, target: Tensor, weight: Tensor | None = None) -> Tensor:
        inputs = check(logits, target, weight)
        inside, predicted, true = overlap(inputs, self.per_image)
        # The clamp only matters for smooth = 0, where an empty class would be 0 / 0.
        score = ((2 * inside + self.smooth) / (predicted + true + self.smooth).clamp_min(1e-7)).clamp_min(1e-7)
        losses = -score.log() if self.log else 1 - score
        if self.empty == "penalise":
            return inputs.unless_void(inputs.mean_of_images(losses) if self.per_image else losses.mean())
        present, each = (true > 0).to(losses.dtype), inputs.of_images() if self.per_image else None
        present = present if each is None else present * each[:, None]
        return (losses * present).sum() / present.sum().clamp_min(1e-12)
