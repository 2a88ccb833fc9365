"""A training ends in time, validated and saved; a resumed one gets its time again."""

import time
from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import FinalValidation, TimeBudget


class Slow(pl.LightningModule):
    """Takes 10 ms a step and 400 ms a validation."""

    def __init__(self, budget):
        super().__init__()
        self.budget = budget
        self.line = torch.nn.Linear(1, 1)
        self.validated = []

    def training_step(self, batch, batch_idx):
        time.sleep(0.01)
        return self.line(batch).mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append((self.trainer.global_step, self.budget.left()))
        time.sleep(0.4)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(folder, budget, resume=None):
    model = Slow(budget)
    trainer = pl.Trainer(
        max_time=timedelta(days=1),
        accelerator="cpu",
        logger=False,
        check_val_every_n_epoch=1,
        num_sanity_val_steps=0,
        callbacks=[FinalValidation(), budget],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    trainer.fit(model, DataLoader(torch.ones(20, 1)), DataLoader(torch.ones(1, 1)), ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return model, trainer


def test_each_session_trains_and_ends_in_time(tmp_path):
    steps = 0
    for resume in (None, tmp_path / "last.ckpt"):
        budget = TimeBudget(timedelta(seconds=2))
        model, trainer = fitted(tmp_path, budget, resume)
        assert trainer.global_step > steps
        last, left = model.validated[-1]
        assert last == trainer.global_step
        assert budget.reserve >= 0.4
        assert left > 0, "the last validation begins while there is time"
        steps = trainer.global_step


def test_the_total_is_used_up_over_all_sessions(tmp_path):
    fitted(tmp_path, TimeBudget(total=timedelta(seconds=1)))
    with pytest.raises(SystemExit, match=r"time budget already used: 0:00:0\d of 0:00:00; set a longer --total_time"):
        fitted(tmp_path, TimeBudget(total=timedelta(seconds=0.1)), tmp_path / "last.ckpt")
    second = TimeBudget(timedelta(seconds=1), timedelta(seconds=20))
    fitted(tmp_path, second, tmp_path / "last.ckpt")
    assert second.before > 0.5
    assert 1.5 < second.time_elapsed() < 20
    assert second.time_elapsed() + second.time_remaining() + second.reserve == pytest.approx(20)
