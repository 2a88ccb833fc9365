"""Exponential moving average of the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from compat.lightning import average_of, swap_with_average, take_average


class ExponentialMovingAverage(WeightAveraging):
    """Averages weights (and batch norm statistics) in training; validates, saves and finishes with the average.

    Lightning's own class validates and saves untrained weights before a delayed start; this one uses the current
    weights until the first average exists. Checkpoints hold both: the average in `state_dict`, the current weights in
    `current_model_state`.

    Args:
        decay: decay of the average after warm-up, in (0, 1). The n-th update uses min(decay, (1 + n) / (10 + n)),
            TensorFlow's rule, so that the average of a short run does not include its random start.
        start_step: first optimizer step to average (SIIM-ACR's 3rd place started after 6 of 15 epochs).
        every: number of optimizer steps between updates.
    """

    def __init__(self, decay: float = 0.999, start_step: int = 0, every: int = 1) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema.decay is {decay}, expected a number between 0 and 1")
        self.decay, self.start_step, self.every = decay, start_step, every
        super().__init__(multi_avg_fn=self._average)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning copies the network before it is moved to its device, and would copy all weights back at each step.
        # The count of updates stays on the CPU, where reading it needs no synchronisation.
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
    """Update averages in place: decay · average + (1 − decay) · current; integers are copied."""
    if averaged[0].is_floating_point():
        get_ema_multi_avg_fn(decay)(averaged, current, 0)
    else:  # such as the number of batches of a norm
        for average, value in zip(averaged, current, strict=True):
            average.copy_(value)
