"""Ctrl-C ends a training after its step; a second one at once. With a checkpoint: tests/test_exact_resume.py."""

import os
import signal
import threading

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from callbacks import StopSignals
from callbacks.stop_signals import is_stop


class Stopped(pl.LightningModule):
    """Gets signals within its third step."""

    def __init__(self, signals):
        super().__init__()
        self.layer, self.signals, self.steps = torch.nn.Linear(1, 1), signals, []

    def training_step(self, batch, batch_idx):
        self.steps.append("begun")
        if batch_idx == 2:
            for number in self.signals:
                os.kill(os.getpid(), number)
        self.steps[-1] = "ended"
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(folder, signals, stop):
    model = Stopped(signals)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[stop],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(model, DataLoader(torch.ones(6, 1)))
    except BaseException as error:
        return model.steps, error
    finally:
        assert signal.getsignal(signal.SIGINT) in (before, signal.SIG_IGN)
        signal.signal(signal.SIGINT, before)
    return model.steps, None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_step_ends_first(number, status, tmp_path):
    stop = StopSignals()
    steps, error = fitted(tmp_path, [number], stop)
    assert steps == ["ended"] * 3
    assert is_stop(error)
    assert stop.status == status


def test_a_second_one_ends_it_at_once(tmp_path):
    steps, error = fitted(tmp_path, [signal.SIGINT, signal.SIGINT], StopSignals())
    assert steps == ["ended", "ended", "begun"]
    assert isinstance(error, SystemExit)
    assert isinstance(error.__context__, KeyboardInterrupt)
    assert not is_stop(error)


def test_a_training_that_is_not_stopped_ends_as_ever(tmp_path):
    assert fitted(tmp_path, [], StopSignals()) == (["ended"] * 6, None)


def test_a_training_in_a_thread_leaves_signals_alone():
    stop, before = StopSignals(), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=stop.on_train_start, args=(None, None))
    thread.start()
    thread.join()
    assert stop.former is None
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_a_stop():
    assert is_stop(SIGTERMException())
    assert not any(is_stop(error) for error in (KeyboardInterrupt(), SystemExit(143), ValueError("x")))
