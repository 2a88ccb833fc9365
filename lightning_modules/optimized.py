"""The optimizer of a module, its schedule, and what Lightning's finders do to both."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lightning_modules.optimizers import fuse, loss_groups, network_groups
from lightning_modules.schedules import (
    StepOnValidation,
    make_scheduler,
    progress_of,
    resume_schedules,
    scheduler_settings,
)
from losses import LossFormula


class OptimizedModule(pl.LightningModule):
    """Builds optimizer and schedule from what its subclass has as attributes; `BaseModule` documents them."""

    network: nn.Module
    loss: LossFormula | None
    optimizer: Callable[[Iterable], Optimizer]
    layer_decay: float
    encoder_lr_factor: float
    scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None
    scheduler_interval: Literal["step", "epoch"] | None
    scheduler_frequency: int
    scheduler_monitor: str
    steps_of_run: int | None = None  # of a resumed run, whose length does not follow from its epochs alone
    _trained: set[str]

    def progress(self) -> float:
        """Completed fraction of the run: max(step / total steps, elapsed / time budget)."""
        return progress_of(self.trainer, self.steps_of_run)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of network and loss for an optimizer; see `lightning_modules.optimizers`."""
        of_loss = [] if self.loss is None else loss_groups(self.loss.losses)
        return [*network_groups(self.network, self._trained, self.layer_decay, self.encoder_lr_factor), *of_loss]

    def make_optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        """An optimizer of `model.optimizer` for parameter groups; a task with two networks makes two."""
        optimizer = self.optimizer(groups)
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
        if self._may_fuse():
            fuse(optimizer)
        return optimizer

    def configure_optimizers(self) -> Any:
        groups = self.parameter_groups()
        if not groups:
            raise ValueError("nothing is left to train: model.freeze and model.train_only freeze the whole network")
        optimizer = self.make_optimizer(groups)
        if self.scheduler is None:
            return optimizer
        scheduler = make_scheduler(self.scheduler, optimizer, self.trainer, self.scheduler_monitor)
        when = (self.scheduler_monitor, self.scheduler_interval, self.scheduler_frequency)
        return {"optimizer": optimizer, "lr_scheduler": scheduler_settings(scheduler, self.trainer, *when)}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [] if self.scheduler is None else [StepOnValidation()]

    @property
    def learning_rate(self) -> float:
        """Learning rate of the optimizer before any schedule; set by Lightning's finder."""
        return self.optimizer([nn.Parameter(torch.zeros(1))]).defaults["lr"]

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.optimizer = partial(self.optimizer, lr=value)

    def on_fit_start(self) -> None:
        # The finders overwrite the rates of groups and lose the schedule, its length and the rates per layer.
        finders = (pl.callbacks.LearningRateFinder, pl.callbacks.BatchSizeFinder)
        if any(isinstance(callback, finders) for callback in self.trainer.callbacks):
            self.trainer.strategy.setup_optimizers(self.trainer)

    def on_train_start(self) -> None:
        self.steps_of_run = resume_schedules(self.trainer, self.scheduler)

    def _may_fuse(self) -> bool:
        # In 16-bit with a gradient scaler the fused kernel unscales gradients itself, and Lightning cannot clip them.
        return getattr(self.trainer.precision_plugin, "scaler", None) is None

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Any | None) -> None:
        if isinstance(scheduler, ReduceLROnPlateau):
            return  # StepOnValidation moves it
        if hasattr(scheduler, "progress"):
            scheduler.progress = self.progress()
        super().lr_scheduler_step(scheduler, metric)
