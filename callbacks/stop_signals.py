"""Stopping a training by a signal."""

import signal
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException


class StopSignals(pl.Callback):
    """Let Ctrl-C end a training as SIGTERM does: after the running step, on all ranks, with a checkpoint.

    A second Ctrl-C ends it at once. `status` is the exit status for the shell: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self) -> None:
        self.status = 128 + signal.SIGTERM
        self.former: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After Lightning has noted the handlers that it restores at the end. It has none for SIGTERM on Windows, where
        # Ctrl-C keeps its meaning.
        main = threading.current_thread() is threading.main_thread()
        if main and callable(signal.getsignal(signal.SIGTERM)):
            self.former = signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.restore()
        self.status = 128 + signal.SIGINT
        rank_zero_only(print)("\nstopping after this step; once more to stop at once", flush=True)
        signal.raise_signal(signal.SIGTERM)

    def restore(self) -> None:
        """Give Ctrl-C its former meaning back."""
        if self.former is not None:
            signal.signal(signal.SIGINT, self.former)
            self.former = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.restore()


def is_stop(exception: BaseException) -> bool:
    """Whether a training was stopped between two steps, by a signal."""
    return isinstance(exception, SIGTERMException)
