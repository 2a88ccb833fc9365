"""Soft Dice."""

from typing import Literal

from torch import Tensor, nn

from losses.inputs import Logits, check, overlap


class DiceLoss(nn.Module):
    """1 − (2 Σpy + s) / (Σp + Σy + s), mean over classes (Milletari et al. 2016, V-Net).

    Args:
        per_image: one Dice per image, then their weighted mean; else one over the whole batch (selim_sef).
        empty: `penalise` counts classes without truth too, so that false positives cost; `ignore` leaves them out
            (smp does, over the whole batch: an all-empty batch then costs nothing whatever is predicted).
        smooth: s; keeps empty classes finite.
        log: −log of the coefficient instead of one minus it (Carvana, 5th place).

    Example:
        >>> import torch
        >>> from losses.dice import DiceLoss
        >>> target = torch.tensor([[[[1, 1], [0, 0]]], [[[0, 0], [0, 0]]]])  # (N, C, H, W); the second image is empty
        >>> logits = torch.full((2, 1, 2, 2), 20.0)  # everything predicted
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
            raise ValueError(f"dice: empty is 'penalise' or 'ignore', got {empty!r}")
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
