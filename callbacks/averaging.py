"""Exponential moving average of the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from compat.lightning import average_of, swap_with_average, take_average


class ExponentialMovingAverage(WeightAveraging):
    """Average the weights (and batch-norm statistics) while training; validate, save and finish with the average.

    Lightning's own class validates and saves untrained weights before its delayed start; this one leaves the current
    weights in place until the first average exists. Checkpoints hold both: the average in `state_dict`, the raw
    weights in `current_model_state`.

    Args:
        decay: share of the old average that is kept at each step once warmed up. The n-th average uses
            min(decay, (1 + n) / (10 + n)), TensorFlow's rule, so that a short run does not average in its random start.
        start_step: first optimizer step that is averaged (SIIM-ACR's 3rd place started after 6 of 15 epochs).
        every: optimizer steps from one average to the next.
    """

    def __init__(self, decay: float = 0.999, start_step: int = 0, every: int = 1) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema.decay lies between 0 and 1, got {decay}")
        self.decay, self.start_step, self.every = decay, start_step, every
        super().__init__(multi_avg_fn=self._average)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning copies the network before it goes to its device, and would fetch all weights from there each step.
        # The count of averages stays on the CPU, where asking for it makes nobody wait.
        average_of(self).module.to(pl_module.device)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx >= self.start_step and step_idx % self.every == 0

    def _average(self, averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        move_towards(averaged, current, min(self.decay, (1 + int(count)) / (10 + int(count))))

    @property
    def _started(self) -> bool:
        average = average_of(self)
        return average is not None and int(average.n_averaged) > 0

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._swapped = self._started
        if self._swapped:
            swap_with_average(self, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._swapped:
            swap_with_average(self, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._started:
            take_average(self, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._started:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if average_of(self) is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


@torch.no_grad()
def move_towards(averaged: list[Tensor], current: list[Tensor], decay: float) -> None:
    """Keep `decay` of each average and take the rest from the current value, in place; whole numbers are copied."""
    if averaged[0].is_floating_point():
        get_ema_multi_avg_fn(decay)(averaged, current, 0)
    else:  # such as the batches that a norm has seen
        for average, value in zip(averaged, current, strict=True):
            average.copy_(value)
