"""Parts of the network that are trained from some epoch on."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from networks.freeze import Frozen


class Unfreezing(pl.Callback):
    """Freeze parts of the network and train them from their epoch on: first the head, then the layers under it.

    A frozen part keeps weights and statistics to the last bit, as in `model.freeze`. The optimizer knows all parts from
    the beginning, so schedules and checkpoints are those of a run without this callback, and a resumed run finds its
    place by its epoch alone.

    Args:
        parts: name of each part, as `named_modules` has it -> first epoch (counted from 0) in which it is trained:
            `{encoder.layer4: 2, encoder: 4}`. What is not named is trained from the start. A part inside of another one
            (as here) has its own epoch.

    Raises:
        ValueError: no such part, one that `model.freeze` keeps frozen, or DDP that does not look for unused parameters.
    """

    def __init__(self, parts: dict[str, int]) -> None:
        if not parts or min(parts.values()) < 1:
            raise ValueError(
                f"Unfreezing: parts are {parts}, expected epochs of 1 or more; leave out what is trained at 0"
            )
        self.parts = dict(parts)
        self.epoch: int | None = None  # for which the network was brought up to date
        self.frozen: Frozen | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from networks.freeze import find  # imports timm, a second that --help need not wait for

        wrapped = trainer.strategy.model
        if isinstance(wrapped, DistributedDataParallel) and not wrapped.find_unused_parameters:
            raise ValueError(
                "Unfreezing under DDP: gradients of frozen parts would be waited for; set trainer.strategy to "
                "ddp_find_unused_parameters_true"
            )
        for name in self.parts:
            if not any(value.requires_grad for value in find(pl_module.network, name).parameters()):
                raise ValueError(f"Unfreezing: {name!r} is frozen for good by model.freeze or model.train_only")
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
