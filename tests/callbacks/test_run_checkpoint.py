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
    checkpoint = RunCheckpoint(
        tmp_path, "best", "score", mode="max", save_last=True, save_on_train_epoch_end=at_epoch_end
    )
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(torch.ones(3, 1))
    trainer.fit(Falling(), data, data)
    found = {path.stem: torch.load(path, weights_only=False)["epoch"] for path in tmp_path.glob("*.ckpt")}
    assert found == {"best": 0, "last": 3}
