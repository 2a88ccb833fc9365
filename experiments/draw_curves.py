"""Callback that plots `curves.png` during training."""

from pathlib import Path

import pytorch_lightning as pl

from experiments.curves import draw_curves


class Curves(pl.Callback):
    """Plot `curves.png` from `metrics.csv` after each validation and at the end of training.

    Args:
        folder: run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking and (self.folder / "metrics.csv").is_file():
            draw_curves(self.folder / "metrics.csv", self.folder / "curves.png")

    on_train_end = on_validation_end
