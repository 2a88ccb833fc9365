"""The checkpoints of a run: the best and the last."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from compat.lightning import checkpoint_due, save_last


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint with `last` from the last validation.

    The original saves `last` only together with one of the best, so a run that no longer improves would resume from its
    last improvement after an interruption.
    """

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = checkpoint_due(self, trainer, epoch_end=False)
        super().on_validation_end(trainer, pl_module)
        if due and self.save_last:
            save_last(self, trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = checkpoint_due(self, trainer, epoch_end=True)
        super().on_train_epoch_end(trainer, pl_module)
        if due and self.save_last:
            save_last(self, trainer)
