"""Progress of training verbs where there is no terminal: a line every ten seconds."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from files.progress import SECONDS


class ProgressLines(ProgressBar):
    """Writes a line to standard error every `seconds`: epoch, batch, speed and the values of Lightning's progress bar.

    In a log or a notebook's output, a progress bar would be thousands of states on one line.

    Args:
        seconds: time between two lines.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        super().__init__()
        self.seconds, self.enabled = seconds, True
        self.written = self.began = time.monotonic()
        self.before: int | None = None  # batches before `began`; None until the first batch after it

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.written = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    on_test_start = on_predict_start = on_validation_start
    on_validation_end = on_validation_start  # the epoch may go on after it

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epochs = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        what = f"training: epoch {trainer.current_epoch + 1}{epochs}, batch"
        self._write(what, batch_idx + 1, self.total_train_batches, self.get_metrics(trainer, pl_module))

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self.has_dataloader_changed(dataloader_idx):
            self._begin()

    on_test_batch_start = on_predict_batch_start = on_validation_batch_start

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._write("validation: batch", batch_idx + 1, self.total_val_batches_current_dataloader)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._write("test: batch", batch_idx + 1, self.total_test_batches_current_dataloader)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._write("predicting: batch", batch_idx + 1, self.total_predict_batches_current_dataloader)

    def _begin(self) -> None:
        self.began, self.before = time.monotonic(), None

    def _write(self, what: str, done: int, total: float, values: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if self.before is None:
            self.before = done - 1
        if not self.enabled or now - self.written < self.seconds:
            return
        self.written = now
        rate = (done - self.before) / max(now - self.began, 1e-9)
        left = "" if total == float("inf") else f"/{total}, {tqdm.format_interval((total - done) / rate)} left"
        shown = "".join(f", {name} {value:.4g}" for name, value in (values or {}).items() if isinstance(value, float))
        print(f"{what} {done}{left}, {rate:.2g} batches/s{shown}", file=sys.stderr, flush=True)
