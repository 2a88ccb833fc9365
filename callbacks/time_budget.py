"""Time budgets of training."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from callbacks.time_limit import clock


class TimeBudget(Timer):
    """Ends a training such that its last validation and its checkpoint fit into the time.

    Lightning's timer counts the time of earlier sessions, so that a resumed run does not train at all, and stops when
    the time is over, before the last validation. This one measures how long a validation with its checkpoints takes.

    Args:
        session: time of this session, from the start of `fit`; a resumed run gets it again (`trainer.max_time`).
        total: time of all sessions of the run together. Schedules that follow the time follow it if it is given.
    """

    def __init__(self, session: timedelta | None = None, total: timedelta | None = None) -> None:
        super().__init__(duration=session if total is None else total)
        self.session = None if session is None else session.total_seconds()
        self.total = None if total is None else total.total_seconds()
        self.begun = time.monotonic()
        self.before = 0.0  # seconds of earlier sessions
        self.reserve: float | None = None  # seconds of the longest validation with its checkpoints
        self.validating: float | None = None
        self.since, self.trained, self.batches = self.begun, 0.0, 0

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds of this session; of all sessions if there is a total."""
        return time.monotonic() - self.begun + (0.0 if self.total is None else self.before)

    def time_remaining(self, stage: str = "train") -> float:
        """Seconds left to train, without the last validation."""
        return (self.total or self.session or 0.0) - self.time_elapsed() - (self.reserve or 0.0)

    def left(self) -> float:
        """Seconds left of this session and of the total, whichever ends first."""
        here = time.monotonic() - self.begun
        ends = [self.session, None if self.total is None else self.total - self.before]
        return min(end for end in ends if end is not None) - here

    def on_fit_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Refuse a run without any time left.

        Raises:
            SystemExit: the total was used in earlier sessions.
        """
        if self.total is not None and self.before >= self.total:
            raise SystemExit(
                f"error: time budget already used: {clock(self.before)} of {clock(self.total)}; set a longer "
                "--total_time"
            )

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.validating = time.monotonic()

    def on_train_batch_start(self, *args: Any) -> None:
        self._end_of_validation()
        self.since = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end_of_validation()

    def _end_of_validation(self) -> None:
        if self.validating is not None:
            self.reserve = max(self.reserve or 0.0, time.monotonic() - self.validating)
            self.validating = None

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.trained, self.batches = self.trained + time.monotonic() - self.since, self.batches + 1
        step = self.trained / self.batches
        # Before the first validation: as if a batch took as long as one of training.
        reserve = step * sum(trainer.num_val_batches) if self.reserve is None else self.reserve
        stop = self.left() <= reserve + step
        if trainer.strategy.broadcast(stop) and not trainer.should_stop:
            trainer.should_stop = True
            if trainer.is_global_zero:
                print("\nthe time is nearly used; the last validation and checkpoint follow", flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.before + time.monotonic() - self.begun, "reserve": self.reserve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.reserve = state_dict.get("elapsed", 0.0), state_dict.get("reserve")
