import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
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


def test_lightnings_own_stores_untrained_weights_before_its_delayed_start(tmp_path):
    """Why the callback is ours. When this fails, Lightning has mended it, and the stock class may take its place."""
    model, checkpoint = fit(tmp_path, EMAWeightAveraging(decay=0.9, update_starting_at_step=100))
    assert checkpoint["state_dict"]["layer.weight"].item() == 5.0
    assert model.seen == [5.0]


class Normed(Line):
    """Batches whose mean drifts, so that the statistics of a norm show which steps they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.batches = nn.BatchNorm1d(1), []

    def training_step(self, batch, index):
        return (self.norm(self.layer(batch)) * batch).mean()

    def on_train_batch_end(self, *arguments):
        super().on_train_batch_end(*arguments)
        self.batches.append({name: value.clone() for name, value in self.state_dict().items()})


def normed(tmp_path, callback, epochs, resume=None):
    model = Normed()
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[callback, pl.callbacks.ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    data = DataLoader(torch.arange(12.0).reshape(12, 1), batch_size=4)
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return model


def test_statistics_of_norms_are_averaged_with_the_weights(tmp_path):
    model = normed(tmp_path, ExponentialMovingAverage(decay=0.9), epochs=1)
    expected = model.batches[0]
    for count, state in enumerate(model.batches[1:], start=1):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = {name: decay * expected[name] + (1 - decay) * value for name, value in state.items()}
    for name in ("layer.weight", "norm.weight", "norm.running_mean", "norm.running_var"):
        torch.testing.assert_close(model.state_dict()[name], expected[name], msg=name)
    assert model.norm.num_batches_tracked == 3  # counted, not averaged


@pytest.mark.parametrize("start", [0, 4])
def test_a_resumed_run_averages_as_the_whole_one(tmp_path, start):
    whole = normed(tmp_path, ExponentialMovingAverage(decay=0.9, start_step=start), epochs=2)
    again = normed(
        tmp_path / "again", ExponentialMovingAverage(decay=0.9, start_step=start), 2, tmp_path / "epoch=0.ckpt"
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for name, value in whole.batches[-1].items():
        assert torch.equal(value, again.batches[-1][name]), name


def test_the_average_lives_on_the_device_of_the_network(tmp_path):
    """Lightning copies the network before it is moved; here to `meta`, as a device that every machine has."""
    callback, model = ExponentialMovingAverage(), Line()
    callback.setup(None, model, "fit")
    model.to("meta")
    callback.on_fit_start(None, model)
    assert callback._average_model.module.layer.weight.device.type == "meta"
    assert callback._average_model.n_averaged.device.type == "cpu"


def test_decay_is_a_share():
    with pytest.raises(ValueError, match="decay"):
        ExponentialMovingAverage(decay=1.5)
