"""A run that ends between two validations is validated once more, with the weights it ends with."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import FinalValidation


class Line(pl.LightningModule):
    """One weight; remembers at which step it was validated."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), []

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        if not self.trainer.sanity_checking:
            self.seen.append(self.trainer.global_step)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class StopAt(pl.Callback):
    """Stops like the Trainer's timer: in the batch's last hook."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *arguments):
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.step


@pytest.mark.parametrize(
    ("settings", "callbacks", "expected"),
    [
        ({"max_epochs": 5}, [], [8, 16, 20]),
        ({"max_epochs": 4}, [], [8, 16]),
        ({"max_epochs": 9, "max_steps": 10}, [], [8, 10]),
        ({"max_epochs": 9}, [StopAt(11)], [8, 11]),
        ({"max_epochs": 1000, "max_time": "00:00:00:01"}, [], None),
    ],
)
def test_ends_validated(settings, callbacks, expected, tmp_path):
    model = Line()
    trainer = pl.Trainer(
        **settings,
        accelerator="cpu",
        check_val_every_n_epoch=2,
        callbacks=[FinalValidation(), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    data = DataLoader(torch.ones(4, 1), batch_size=1)
    trainer.fit(model, data, DataLoader(torch.ones(1, 1)))
    assert model.seen[-1] == trainer.global_step
    assert len(model.seen) == len(set(model.seen))
    if expected is not None:
        assert model.seen == expected
