"""The length of the gradient is logged as it is before clipping."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from callbacks import GradientNorm


class Line(pl.LightningModule):
    """Its gradient is (6, 8) at every step: length 10."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.unused = torch.nn.Parameter(torch.zeros(2))

    def training_step(self, batch, batch_idx):
        return (self.weight * torch.tensor([6.0, 8.0])).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(("norm", "expected"), [(2.0, 10.0), (float("inf"), 8.0)])
def test_norm_before_clipping(norm, expected, tmp_path):
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[GradientNorm(norm)], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0, log_every_n_steps=1,
    )  # fmt: skip
    module = Line()
    trainer.fit(module, DataLoader(torch.zeros(1, 1)))
    assert float(trainer.callback_metrics["gradient_norm"]) == pytest.approx(expected)
    torch.testing.assert_close(module.weight.data, torch.tensor([-0.6, -0.8]))


def test_norm_is_above_zero():
    with pytest.raises(ValueError, match="norm is 0"):
        GradientNorm(0)
