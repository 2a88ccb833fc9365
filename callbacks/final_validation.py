"""Validation of the final weights of a run."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class FinalValidation(pl.Callback):
    """Validates when training ends, even if `check_val_every_n_epoch` would skip this epoch.

    Without it, a run that ends by its time budget, early stopping or an epoch between validations would not validate
    its final weights, and `best` would be a checkpoint from before the learning rate was annealed.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # After all callbacks that may stop the run (the Trainer adds its timer last), before the checkpoints.
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
