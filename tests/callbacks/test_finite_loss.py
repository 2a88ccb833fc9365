"""A run whose loss becomes NaN ends with the cause; the last sound checkpoint stays."""

import math

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins import MixedPrecision
from torch.utils.data import DataLoader, Dataset

from callbacks import FiniteLoss


class Numbers(Dataset):
    """Ones, with a NaN at one place."""

    def __init__(self, bad):
        self.bad = bad

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {"x": torch.tensor([float("nan") if index == self.bad else 1.0]), "image_id": f"image{index}"}


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.loss_parts = torch.nn.Linear(1, 1), {}

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch["x"]).square().mean()
        self.loss_parts = {"bce(mask)": loss.detach()}
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(bad, tmp_path, model=None, checkpoint=None, **settings):
    callbacks = [FiniteLoss(), *([checkpoint] if checkpoint else [])]
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=callbacks, logger=False, enable_checkpointing=bool(checkpoint),
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, **settings,
    )  # fmt: skip
    trainer.fit(model or Line(), DataLoader(Numbers(bad), batch_size=2))
    return trainer


def test_stops_at_the_step_and_names_the_images(tmp_path):
    with pytest.raises(
        FloatingPointError,
        match=r"nan at step 6 \(epoch 0\): bce\(mask\) = nan; learning rate 0.01, gradient norm nan; "
        r"images \['image10', 'image11'\]",
    ):
        fit(10, tmp_path)


def test_sound_runs_are_left_alone(tmp_path):
    assert fit(None, tmp_path).global_step == 10


def weights_of(path):
    return torch.load(path, weights_only=True)["state_dict"]["layer.weight"]


def test_the_last_sound_checkpoint_stays(tmp_path):
    kept = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=1, enable_version_counter=False)
    with pytest.raises(FloatingPointError, match="nan at step 6"):
        fit(10, tmp_path, checkpoint=kept)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
    assert torch.isfinite(weights_of(tmp_path / "last.ckpt")).all()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 5


class Ruined(Line):
    """Its loss is a number, its step is not."""

    def on_before_optimizer_step(self, optimizer):
        if self.trainer.global_step == 3:
            self.layer.weight.grad.fill_(math.inf)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    kept = ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=1, enable_version_counter=False)
    with pytest.raises(
        FloatingPointError, match=r"1 of 2 tensors .* not finite after step 4 \(epoch 0\), the first is layer.weight"
    ):
        fit(None, tmp_path, Ruined(), kept)
    assert torch.isfinite(weights_of(tmp_path / "last.ckpt")).all()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3


class Counted(Line):
    """Counts the steps whose scaled gradients are infinite."""

    infinite = 0

    def on_after_backward(self):
        self.infinite += not torch.isfinite(self.layer.weight.grad).all()


def test_steps_that_a_scaler_skips_do_not_count(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    model = Counted()
    fit(None, tmp_path, model, plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
    assert model.infinite >= 1
    assert scaler.get_scale() < 2.0**127
    assert torch.isfinite(model.layer.weight).all()
