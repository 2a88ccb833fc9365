"""Logging of the gradient norm."""

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from compat.lightning import logs_this_step


class GradientNorm(pl.Callback):
    """Logs `gradient_norm`, the norm of the gradient of all trained parameters before clipping.

    Use it to choose `trainer.gradient_clip_val`: a value slightly above the usual norm clips only outliers. It is
    computed only at logged steps (`trainer.log_every_n_steps`).

    Args:
        norm: order of the norm: 2 is the Euclidean norm, `.inf` the largest component.
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
