"""Keep a prediction within a time limit, at the price of views."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn

WARM_UP = 2  # batches that say nothing of the pace: the first ones compile, allocate and fill caches


class PredictionTimeLimit(pl.Callback):
    """Take fewer views of the images that are left, once the pace says that the limit would be passed.

    Kernels of code competitions are stopped, and lost, at a limit; a submission with less test-time augmentation is
    better than none. As many views stay as the time that is left pays for, the image itself last; what goes first are
    colours, then shifts, then scales, then turns. Tiles stay: without them the result would be worse by far. Images
    that are predicted already are left as they are. Where one view is still too much, it says so and goes on.

    Args:
        limit: `HH:MM:SS` or `DD:HH:MM:SS` from the first batch on; each fold of an experiment has its own.

    Raises:
        ValueError: a limit that is not of this form, or is not above 0.
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
                f"--time_limit: {self.left} batches are left and {_clock(remaining)} of the limit; they would take "
                f"{_clock(needed)}. Test-time augmentation goes from {views} views to {affordable}"
            )
            self.batches, self.since = WARM_UP, now
        elif not self.warned:
            self.warned = True
            rank_zero_warn(
                f"--time_limit: {self.left} batches are left and {_clock(remaining)} of the limit; one view takes "
                f"{_clock(needed)}, and there is nothing left to take away. Predict fewer folds, or with larger tiles"
            )


def seconds(limit: str) -> float:
    """Seconds of `HH:MM:SS` or `DD:HH:MM:SS`."""
    parts = str(limit).split(":")
    if len(parts) not in (3, 4) or not all(part.isdigit() for part in parts) or not any(map(int, parts)):
        raise ValueError(f"--time_limit is {limit!r}, expected HH:MM:SS or DD:HH:MM:SS above 0, as 08:30:00")
    numbers = [0] * (4 - len(parts)) + [int(part) for part in parts]
    return timedelta(days=numbers[0], hours=numbers[1], minutes=numbers[2], seconds=numbers[3]).total_seconds()


def _clock(value: float) -> str:
    return str(timedelta(seconds=max(0, round(value))))
