import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, StepLR
from torch.utils.data import DataLoader

from callbacks.snapshots import Snapshots, TopCheckpoints
from commands.average import choose
from experiments.run_folder import RunFolder

SCORES = [0.3, 0.9, 0.1, 0.5, 0.7, 0.2, 0.4]


class Scripted(pl.LightningModule):
    def __init__(self, schedule=StepLR, interval="epoch", **settings):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.schedule, self.interval, self.settings, self.seen = schedule, interval, settings, {}

    def training_step(self, batch, index):
        return self.layer(batch).mean()

    def validation_step(self, batch, index):
        self.log("val/score", SCORES[self.current_epoch])

    def on_train_epoch_end(self):
        self.seen[self.trainer.global_step] = self.layer.bias.item()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = self.schedule(optimizer, **(self.settings or {"step_size": 100}))
        return [optimizer], [{"scheduler": scheduler, "interval": self.interval}]


def fit(folder, callback, module=None, epochs=7, mode="max", resume=None):
    module = module or Scripted()
    main = ModelCheckpoint(
        folder / "checkpoints", "best", monitor="val/score", mode=mode, save_last=True, enable_version_counter=False
    )
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=[callback, main],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
    )
    trainer.fit(module, DataLoader(torch.ones(2, 1)), DataLoader(torch.ones(1, 1)), ckpt_path=resume, weights_only=True)
    return module


def kept(folder):
    found = {path.stem for path in (folder / "checkpoints").glob("*-*.ckpt")}
    assert {path.stem for path in (folder / "checkpoints").glob("*.ckpt")} == found | {"best", "last"}
    return found


def test_the_best_are_kept_with_their_scores(tmp_path):
    fit(tmp_path, TopCheckpoints(k=3))
    assert kept(tmp_path) == {"top-001-000004", "top-004-000010", "top-003-000008"}
    ranked = choose(RunFolder(tmp_path), 3, None, None)
    assert [path.stem for path in ranked] == ["top-001-000004", "top-004-000010", "top-003-000008"]


def test_their_direction_is_that_of_the_run(tmp_path):
    fit(tmp_path, TopCheckpoints(k=2), mode="min")
    assert [path.stem for path in choose(RunFolder(tmp_path), 2, None, None)] == ["top-002-000006", "top-005-000012"]


def test_a_resumed_run_goes_on_with_what_was_kept(tmp_path):
    fit(tmp_path, TopCheckpoints(k=2), epochs=4)
    fit(tmp_path, TopCheckpoints(k=2), resume=tmp_path / "checkpoints" / "last.ckpt")
    assert kept(tmp_path) == {"top-001-000004", "top-004-000010"}


def test_the_newest_are_kept_and_hold_their_own_weights(tmp_path):
    module = fit(tmp_path, TopCheckpoints(k=3, monitor="step"))
    assert kept(tmp_path) == {"top-004-000010", "top-005-000012", "top-006-000014"}
    for path in choose(RunFolder(tmp_path), None, 3, None):
        content = torch.load(path, weights_only=True)
        assert content["state_dict"]["layer.bias"].item() == pytest.approx(module.seen[content["global_step"]])


@pytest.mark.parametrize(("interval", "first"), [("epoch", 1), ("step", 2)])
def test_a_snapshot_at_the_end_of_each_cycle(tmp_path, interval, first):
    """Cycles of 1, 2 and 4 epochs, counted in epochs or in their two steps."""
    fit(tmp_path, Snapshots(), Scripted(CosineAnnealingWarmRestarts, interval, T_0=first, T_mult=2))
    assert kept(tmp_path) == {"snapshot-01", "snapshot-02", "snapshot-03"}
    steps = [torch.load(path, weights_only=True)["global_step"] for path in sorted(tmp_path.rglob("snapshot-*"))]
    assert steps == [2, 6, 14]


def test_snapshots_resume_and_forget_the_old_ones(tmp_path):
    def cosine():
        return Scripted(CosineAnnealingWarmRestarts, T_0=2)

    fit(tmp_path, Snapshots(last=2), cosine(), epochs=3)
    assert kept(tmp_path) == {"snapshot-01"}
    fit(tmp_path, Snapshots(last=2), cosine(), resume=tmp_path / "checkpoints" / "last.ckpt")
    assert kept(tmp_path) == {"snapshot-02", "snapshot-03"}


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="k is 0"):
        TopCheckpoints(k=0)
    with pytest.raises(ValueError, match="last is 0"):
        Snapshots(last=0)
    with pytest.raises(ValueError, match="schedule is StepLR, expected .*WarmRestarts"):
        fit(tmp_path, Snapshots())
