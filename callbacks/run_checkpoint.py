"""The run's own checkpoints: the best ones, and the last."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from compat.lightning import checkpoint_due, save_last


class RunCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint whose `last` is of the last validation.

    The stock one writes `last` only where it has just written one of the best, so a run that no longer improves would
    go on from its last improvement after an interruption.
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
