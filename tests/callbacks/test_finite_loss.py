"""A run whose loss becomes NaN ends with the cause; the last sound checkpoint stays."""

import pytest
import pytorch_lightning as pl
import torch
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


def fit(bad, tmp_path):
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[FiniteLoss()], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Line(), DataLoader(Numbers(bad), batch_size=2))
    return trainer


def test_stops_at_the_step_and_names_the_images(tmp_path):
    with pytest.raises(
        FloatingPointError, match=r"nan at step 6 \(epoch 0\): bce\(mask\) = nan; .*'image10', 'image11'"
    ):
        fit(10, tmp_path)


def test_sound_runs_are_left_alone(tmp_path):
    assert fit(None, tmp_path).global_step == 10
