"""Sizes by epoch, and after a resume."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from augmentations import Geometry
from callbacks import ImageSize

pytestmark = pytest.mark.filterwarnings("ignore:(The dirpath has changed|You're resuming)")


class Sizes(pl.LightningModule):
    """Notes the size of each training batch after its augmentation on the device."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.augmentation, self.seen, self.validated = [Geometry(hflip=0.5)], {}, set()

    def training_step(self, batch, batch_idx):
        given = {"image": batch, "mask": batch[:, :1] > 0}
        for step in self.augmentation:
            given = step.batch(given, 1.0, np.random.default_rng(0))
        assert given["mask"].shape[2:] == given["image"].shape[2:]
        self.seen.setdefault(self.current_epoch, set()).add(tuple(given["image"].shape[2:]))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.validated.add(tuple(batch.shape[2:]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder, epochs, resume=None, how="scale", **more):
    module = Sizes()
    saver = pl.callbacks.ModelCheckpoint(
        folder, "{step}", every_n_train_steps=1, save_top_k=-1, auto_insert_metric_name=False
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ImageSize({1: 8, 2: [16, 20], 4: None}, how), saver],
        **more,
    )
    data = torch.utils.data.DataLoader(torch.rand(4, 3, 24, 32), 2)
    trainer.fit(module, data, data, ckpt_path=resume, weights_only=True)
    return module


WANTED = {0: {(24, 32)}, 1: {(8, 8)}, 2: {(16, 20)}, 3: {(16, 20)}, 4: {(24, 32)}}


@pytest.mark.parametrize("how", ["scale", "crop"])
def test_each_epoch_has_its_size_and_validation_its_own(tmp_path, how):
    module = fit(tmp_path, 5, how=how)
    assert module.seen == WANTED
    assert module.validated == {(24, 32)}


@pytest.mark.parametrize(("step", "first"), [(5, 2), (6, 3)], ids=["within", "between"])
def test_a_resumed_run_has_the_size_of_its_epoch(tmp_path, step, first):
    fit(tmp_path, 3)
    again = fit(tmp_path / "again", 5, resume=tmp_path / f"{step}.ckpt")
    assert again.seen == {epoch: size for epoch, size in WANTED.items() if epoch >= first}


def test_the_module_is_left_as_it_was():
    callback, module = ImageSize({0: 8}), Sizes()
    for stage, steps in (("fit", 2), ("validate", 1), ("fit", 2)):
        callback.setup(None, module, stage)
        assert len(module.augmentation) == steps
        callback.teardown(None, module, stage)
        assert [type(step) for step in module.augmentation] == [Geometry]


def test_what_cannot_be():
    for sizes in ({}, {-1: 8}):
        with pytest.raises(ValueError, match="expected epoch -> size"):
            ImageSize(sizes)
    with pytest.raises(ValueError, match="size is 0"):
        ImageSize({0: 0})
