"""The length of the gradient, logged."""

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from compat.lightning import logs_this_step


class GradientNorm(pl.Callback):
    """Log `gradient_norm`, the length of the gradient of all trained parameters before it is clipped.

    Look at it before setting `trainer.gradient_clip_val`: a value a little above the usual norm cuts only the steps
    that stand out. Only steps that are logged anyway (`trainer.log_every_n_steps`) are measured.

    Args:
        norm: 2 for the Euclidean length, `.inf` for the largest component.
    """

    def __init__(self, norm: float = 2.0) -> None:
        if norm <= 0:
            raise ValueError(f"GradientNorm: norm is {norm}, expected a number above 0")
        self.norm = norm

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if not logs_this_step(trainer):
            return
        gradients = [value.grad for value in pl_module.parameters() if value.grad is not None]
        pl_module.log("gradient_norm", torch.nn.utils.get_total_norm(gradients, self.norm), batch_size=1)
