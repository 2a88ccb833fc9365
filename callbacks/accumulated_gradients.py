"""Gradients between two optimizer steps."""

from typing import Any

import pytorch_lightning as pl
import torch

from compat.lightning import accumulates

KEY = "accumulated_gradients"


class AccumulatedGradients(pl.Callback):
    """Store the gradients accumulated so far in a checkpoint that is written between two optimizer steps.

    With `trainer.accumulate_grad_batches` a validation, or the end of a time limit, can lie between two steps.
    """

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.accumulate_grad_batches > 1 and accumulates(trainer):
            named = pl_module.named_parameters()
            checkpoint[KEY] = {name: parameter.grad for name, parameter in named if parameter.grad is not None}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.gradients = checkpoint.get(KEY, {})

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.gradients:
            for name, parameter in pl_module.named_parameters():
                if name in self.gradients:
                    parameter.grad = self.gradients[name].to(parameter.device, copy=True)
            self.gradients = {}
