import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.averaging import ExponentialMovingAverage


class Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.layer.weight, 5.0)
        self.seen, self.trace = [], []

    def training_step(self, batch, index):
        return (self.layer(batch) ** 2).mean()

    def on_train_batch_end(self, *arguments):
        self.trace.append(self.layer.weight.item())

    def validation_step(self, batch, index):
        self.seen.append(self.layer.weight.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(tmp_path, average, epochs=1):
    model = Line()
    checkpoint = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, save_last=True)
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[average, checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
    )
    trainer.fit(model, DataLoader(torch.ones(4, 1)), DataLoader(torch.ones(1, 1)))
    return model, torch.load(tmp_path / "last.ckpt", weights_only=True)


def test_average_is_the_documented_formula(tmp_path):
    model, checkpoint = fit(tmp_path, ExponentialMovingAverage(decay=0.9))
    expected = None
    for count, weight in enumerate(model.trace):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    assert model.seen == [pytest.approx(expected)]
    assert checkpoint["state_dict"]["layer.weight"].item() == pytest.approx(expected)
    assert checkpoint["current_model_state"]["layer.weight"].item() == pytest.approx(model.trace[-1])
    assert model.layer.weight.item() == pytest.approx(expected)


def test_before_the_delayed_start_nothing_untrained_is_seen_or_saved(tmp_path):
    model, checkpoint = fit(tmp_path, ExponentialMovingAverage(decay=0.9, start_step=100))
    assert model.seen == [pytest.approx(model.trace[-1])]
    assert checkpoint["state_dict"]["layer.weight"].item() == pytest.approx(model.trace[-1])
    assert model.layer.weight.item() != 5.0


def test_decay_is_a_share():
    with pytest.raises(ValueError, match="decay"):
        ExponentialMovingAverage(decay=1.5)
