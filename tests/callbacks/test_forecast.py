"""What is said of the rest of a training is what comes."""

import re

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks.forecast import AFTER, Forecast, batches_left, memory


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()

    def validation_step(self, batch, batch_idx):
        return None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Count(pl.Callback):
    def __init__(self):
        self.left, self.validations = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.left.append(batches_left(trainer, batch_idx + 1))

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.validations.append(len(self.left))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_epochs": 5},
        {"max_epochs": 5, "val_check_interval": 10},
        {"max_steps": 70, "max_epochs": -1},
        {"max_epochs": 6, "check_val_every_n_epoch": 2},
        {"max_epochs": 4, "accumulate_grad_batches": 2},
        {"max_steps": 40, "accumulate_grad_batches": 2},
    ],
)
def test_the_rest_is_counted_and_told_twice(settings, tmp_path, capsys):
    count = Count()
    trainer = pl.Trainer(
        **settings,
        accelerator="cpu",
        logger=False,
        callbacks=[Forecast(), count],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Line(), DataLoader(torch.ones(20, 1)), DataLoader(torch.ones(1, 1)))
    assert count.left == list(range(len(count.left)))[::-1]
    told = re.findall("expected: (.*)", capsys.readouterr().out)
    assert len(told) == 2
    assert "of training left" in told[0]
    said = int(re.search(r"with (\d+) validations", told[1])[1])
    coming = [place for place in count.validations if place > AFTER]
    first = next(place for place in count.validations if place >= AFTER)
    assert said == len([place for place in coming if place > first])


def test_memory_is_that_of_this_process():
    assert 0.05 < float(re.match(r"([\d.]+) GB of memory", memory())[1]) < 100
