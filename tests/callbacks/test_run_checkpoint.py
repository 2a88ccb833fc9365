from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.run_checkpoint import RunCheckpoint


class Falling(pl.LightningModule):
    """Its score is best in the first validation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).mean()

    def validation_step(self, batch, index):
        self.log("score", -float(self.current_epoch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("at_epoch_end", [None, True])
def test_last_is_of_the_last_epoch_though_the_best_was_the_first(tmp_path, at_epoch_end):
    fitted(tmp_path, 4, save_on_train_epoch_end=at_epoch_end)
    assert epochs(tmp_path) == {"best": 0, "last": 3}


def fitted(folder, epochs, resume=None, **settings):
    checkpoint = RunCheckpoint(
        folder, "best", "score", mode="max", save_last=True, enable_version_counter=False, **settings
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(torch.ones(3, 1))
    trainer.fit(Falling(), data, data, ckpt_path=resume)
    return checkpoint


def epochs(folder):
    return {path.stem: torch.load(path, weights_only=False)["epoch"] for path in folder.glob("*.ckpt")}


@pytest.mark.filterwarnings("error:The dirpath has changed")
def test_a_moved_run_keeps_its_best(tmp_path):
    fitted(tmp_path / "here", 2)
    (tmp_path / "here").rename(tmp_path / "there")
    checkpoint = fitted(tmp_path / "there", 4, tmp_path / "there/last.ckpt")
    assert epochs(tmp_path / "there") == {"best": 0, "last": 3}
    assert checkpoint.best_model_score == 0
    assert checkpoint.best_model_path == str(tmp_path / "there/best.ckpt")


@pytest.mark.filterwarnings("error:The dirpath has changed")
def test_a_run_that_goes_on_elsewhere_says_that_its_best_is_not_there_and_leaves_it(tmp_path, capsys):
    fitted(tmp_path / "here", 2)
    checkpoint = fitted(tmp_path / "there", 4, tmp_path / "here/last.ckpt")
    assert epochs(tmp_path / "here") == {"best": 0, "last": 1}
    assert epochs(tmp_path / "there") == {"best": 2, "last": 3}
    assert checkpoint.best_model_score == -2
    assert f"the best checkpoint so far (0.0000) is not in {tmp_path / 'there'}" in capsys.readouterr().out


def test_last_is_saved_between_validations_too(tmp_path):
    class Steps(RunCheckpoint):
        every_n_steps = 2
        steps: ClassVar[list] = []

        def on_train_batch_end(self, trainer, *rest):
            super().on_train_batch_end(trainer, *rest)
            last = tmp_path / "last.ckpt"
            self.steps.append(torch.load(last, weights_only=False)["global_step"] if last.is_file() else None)

    checkpoint = Steps(tmp_path, "best", "score", save_last=True, enable_version_counter=False)
    data = DataLoader(torch.ones(5, 1))
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Falling(), data, data)
    assert Steps.steps == [None, 2, 2, 4, 4]
