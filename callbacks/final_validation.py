"""Validate the weights that a run ends with."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class FinalValidation(pl.Callback):
    """Validate when training ends, also between the epochs of `check_val_every_n_epoch`.

    A time budget, early stopping or a number of epochs that is no multiple of the interval would otherwise end a run
    unseen, and `best` would be a checkpoint from before the learning rate had come down.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # After whatever may stop the run (the Trainer adds its timer last), before the checkpoints.
        others = [callback for callback in trainer.callbacks if callback is not self]
        place = next((i for i, callback in enumerate(others) if isinstance(callback, Checkpoint)), len(others))
        trainer.callbacks = [*others[:place], self, *others[place:]]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.max_epochs is not None and trainer.current_epoch + 1 == trainer.max_epochs:
            self._validate_this_epoch(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True
        if trainer.should_stop:
            self._validate_this_epoch(trainer)

    def _validate_this_epoch(self, trainer: pl.Trainer) -> None:
        if trainer.check_val_every_n_epoch is not None:
            trainer.check_val_every_n_epoch = 1
