"""Gradual unfreezing of parts of the network."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from networks.freeze import Frozen


class Unfreezing(pl.Callback):
    """Freezes parts of the network and trains each from its epoch on: first the head, then the layers below it.

    The weights and statistics of a frozen part stay bit-identical, as in `model.freeze`. The optimizer has all parts
    from the start, so schedules and checkpoints are those of a run without this callback, and a resumed run depends
    only on its epoch.

    Args:
        parts: first epoch of training (from 0) of each part, by its name in `named_modules`: `{encoder.layer4: 2,
            encoder: 4}`. Other parts are trained from the start. A part nested in another (as here) has its own epoch.

    Raises:
        ValueError: there is no such part, it is frozen by `model.freeze`, or DDP does not find unused parameters.
    """

    def __init__(self, parts: dict[str, int]) -> None:
        if not parts or min(parts.values()) < 1:
            raise ValueError(
                f"Unfreezing: parts is {parts}, expected epochs of 1 or more; remove parts trained from epoch 0"
            )
        self.parts = dict(parts)
        self.epoch: int | None = None  # epoch for which parts were last frozen
        self.frozen: Frozen | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from networks.freeze import find  # imports timm, which takes 1 s and would slow down --help

        wrapped = trainer.strategy.model
        if isinstance(wrapped, DistributedDataParallel) and not wrapped.find_unused_parameters:
            raise ValueError(
                "Unfreezing: DDP would wait for gradients of frozen parts; set trainer.strategy to "
                "ddp_find_unused_parameters_true"
            )
        for name in self.parts:
            if not any(value.requires_grad for value in find(pl_module.network, name).parameters()):
                raise ValueError(f"Unfreezing: {name!r} is permanently frozen by model.freeze or model.train_only")
        self._bring_to(trainer.current_epoch, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch != self.epoch:
            self._bring_to(trainer.current_epoch, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.frozen is not None:
            self.frozen.undo(pl_module.network.training)
            self.frozen, self.epoch = None, None

    def _bring_to(self, epoch: int, pl_module: pl.LightningModule) -> None:
        from networks.freeze import freeze

        if self.frozen is not None:
            self.frozen.undo(pl_module.network.training)
        later = [name for name, first in self.parts.items() if first > epoch]
        trained = [name for name, first in self.parts.items() if first <= epoch]
        self.frozen, self.epoch = freeze(pl_module.network, later, but=trained), epoch
