"""Time limit of predictions, kept by using fewer views."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn

WARM_UP = 2  # first batches, not measured: they compile, allocate and fill caches


class PredictionTimeLimit(pl.Callback):
    """Uses fewer TTA views for the remaining images if prediction would exceed the time limit.

    Kernels of code competitions are stopped, and lost, at a limit; a submission with less test-time augmentation is
    better than none. The number of views is reduced to what the remaining time allows: colours are dropped first, then
    shifts, scales, and flips and rotations; the original image is always predicted. Tiles are kept, because without
    them results would be much worse. Images already predicted do not change. If even one view is too slow, a warning is
    shown and prediction continues.

    Args:
        limit: time from the first batch, `HH:MM:SS` or `DD:HH:MM:SS`; it applies to each fold of an experiment.

    Raises:
        ValueError: the limit has another format or is 0.
    """

    def __init__(self, limit: str) -> None:
        self.limit = seconds(limit)
        self.start = self.since = 0.0
        self.batches = 0  # since the number of views last changed
        self.left = 0
        self.warned = False

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.left = sum(trainer.num_predict_batches)
        self.batches, self.warned = 0, False
        self.start = self.since = time.monotonic()

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        now = time.monotonic()
        self.left -= 1
        self.batches += 1
        if self.batches == WARM_UP:
            self.since = now
        measured = self.batches - WARM_UP
        if measured < 1 or not self.left:
            return
        needed, remaining = self.left * (now - self.since) / measured, self.start + self.limit - now
        if needed <= remaining:
            return
        views = pl_module.inference.number_of_views
        affordable = max(1, int(views * remaining / needed))
        if affordable < views:
            pl_module.inference.limit_views(affordable)
            rank_zero_warn(
                f"--time_limit: {self.left} batches need {clock(needed)}, but {clock(remaining)} remain; test-time "
                f"augmentation is reduced from {views} views to {affordable}"
            )
            self.batches, self.since = WARM_UP, now
        elif not self.warned:
            self.warned = True
            rank_zero_warn(
                f"--time_limit: {self.left} batches need {clock(needed)} with a single view, but {clock(remaining)} "
                "remain; predict fewer folds, or with larger tiles"
            )


def seconds(limit: str, key: str = "--time_limit") -> float:
    """Seconds of `HH:MM:SS` or `DD:HH:MM:SS`."""
    parts = str(limit).split(":")
    if len(parts) not in (3, 4) or not all(part.isdigit() for part in parts) or not any(map(int, parts)):
        raise ValueError(f"{key} is {limit!r}, expected HH:MM:SS or DD:HH:MM:SS above 0, such as 08:30:00")
    numbers = [0] * (4 - len(parts)) + [int(part) for part in parts]
    return timedelta(days=numbers[0], hours=numbers[1], minutes=numbers[2], seconds=numbers[3]).total_seconds()


def clock(value: float) -> str:
    """A time in seconds as `H:MM:SS`."""
    return str(timedelta(seconds=max(0, round(value))))
