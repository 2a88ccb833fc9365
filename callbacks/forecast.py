"""How long a training will take."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch

from callbacks.time_limit import clock

AFTER = 50  # batches; the first ones compile, allocate and fill caches
SKIPPED = 10


class Forecast(pl.Callback):
    """Prints the expected duration and the memory of a training, early enough to stop it and change its settings.

    Once after 50 batches, for training alone, and once after the first validation, with all others to come.
    """

    def __init__(self) -> None:
        self.batches = 0  # of this process
        self.since = self.step = 0.0
        self.validated: float | None = None
        self.told = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        if self.batches == SKIPPED:
            self.since = time.monotonic()
        if self.batches == AFTER:
            self.step = (time.monotonic() - self.since) / (AFTER - SKIPPED)
            left = batches_left(trainer, batch_idx)
            if left is not None:
                self._print(
                    trainer, f"{clock(left * self.step)} of training left, {self.step:.3g} s a batch; {memory()}"
                )

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.validated is None:
            return
        took, self.validated = time.monotonic() - self.validated, None
        left = batches_left(trainer, batch_idx)
        if self.step and not self.told and left is not None:
            self.told = True
            every = trainer.val_check_batch * (trainer.check_val_every_n_epoch or 1)
            times = int(left // max(1, every))
            what = f"{clock(left * self.step + times * took)} left with {times} validations of {took:.3g} s"
            self._print(trainer, f"{what}; {memory()}")

    @staticmethod
    def _print(trainer: pl.Trainer, text: str) -> None:
        if trainer.is_global_zero:
            print(f"\nexpected: {text}", flush=True)


def batches_left(trainer: pl.Trainer, batch_idx: int) -> int | None:
    """Batches of this rank until the end of the training; None if only time limits it."""
    an_epoch = trainer.num_training_batches
    ends = []
    if trainer.max_epochs not in (None, -1) and an_epoch != float("inf"):
        ends.append((trainer.max_epochs - trainer.current_epoch) * int(an_epoch) - batch_idx)
    if trainer.max_steps != -1:
        since = batch_idx % trainer.accumulate_grad_batches
        ends.append((trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches - since)
    return min(ends) if ends else None


def memory() -> str:
    """Largest memory so far, of this process and of its GPU."""
    found = []
    if sys.platform != "win32":
        import resource  # not there on Windows

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        found.append(f"{used / 1e9:.1f} GB of memory")
    if torch.cuda.is_initialized():
        found.append(f"{torch.cuda.max_memory_reserved() / 1e9:.1f} GB of the GPU")
    return ", ".join(found) or "memory unknown"
