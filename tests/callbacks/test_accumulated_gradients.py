"""A checkpoint between two optimizer steps holds the gradients since the first."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import AccumulatedGradients
from callbacks.accumulated_gradients import KEY


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.layer.weight)

    def training_step(self, batch, batch_idx):
        return (self.layer(batch) - 5).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class SaveAt(pl.Callback):
    def __init__(self, batch, path):
        self.batch, self.path = batch, path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == self.batch:
            trainer.save_checkpoint(self.path)


def fitted(folder, callbacks, resume=None):
    model = Line()
    trainer = pl.Trainer(
        max_epochs=1,
        accumulate_grad_batches=3,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, DataLoader(torch.ones(6, 1)), ckpt_path=resume, weights_only=True)
    return model.state_dict()


@pytest.mark.parametrize(("batch", "between"), [(0, True), (1, True), (2, False), (3, True), (4, True)])
def test_a_resumed_training_steps_by_all_its_gradients(batch, between, tmp_path):
    path = tmp_path / "a.ckpt"
    whole = fitted(tmp_path, [AccumulatedGradients(), SaveAt(batch, path)])
    saved = torch.load(path, weights_only=True)
    assert (KEY in saved) == between
    resumed = fitted(tmp_path, [AccumulatedGradients()], path)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    if between:
        lost = fitted(tmp_path, [], path)
        assert not torch.equal(lost["layer.weight"], whole["layer.weight"])


def test_parameters_without_a_gradient_are_left_out(tmp_path):
    model = Line()
    model.layer.bias.requires_grad_(False)
    keeper = AccumulatedGradients()
    keeper.on_load_checkpoint(None, model, {KEY: {"layer.weight": torch.full((1, 1), 3.0)}})
    keeper.on_train_batch_start(None, model, None, 0)
    assert model.layer.weight.grad.item() == 3
    assert model.layer.bias.grad is None
    model.layer.weight.grad = None
    keeper.on_train_batch_start(None, model, None, 1)  # only once
    assert model.layer.weight.grad is None
