"""Lightning's finders of a learning rate and of a batch size, with groups, schedule and weights as they should be."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BatchSizeFinder, LearningRateFinder
from torch import nn
from torch.utils.data import DataLoader

from lightning_modules import Piecewise, SegmentationModule, WarmupCosine


class Data(pl.LightningDataModule):
    """Bright images with a full mask; `batch_size` is what the finder sets."""

    def __init__(self, batch_size=4, count=64):
        super().__init__()
        self.batch_size, self.count = batch_size, count
        self.asked = []

    def train_dataloader(self):
        self.asked.append(self.batch_size)
        image = torch.randint(0, 255, (3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        rows = [{"image": image, "mask": torch.ones(1, 4, 4), "image_id": str(n)} for n in range(self.count)]
        return DataLoader(rows, batch_size=self.batch_size)

    def val_dataloader(self):
        image = torch.zeros(3, 4, 4, dtype=torch.uint8)
        return DataLoader([{"image": [image], "mask": [torch.ones(1, 4, 4)], "image_id": ["v"]}], batch_size=None)


class Start(pl.Callback):
    """State at the first step of the real run."""

    def on_train_start(self, trainer, pl_module):
        self.state = copy.deepcopy(pl_module.state_dict())
        self.groups = [group["lr"] for group in trainer.optimizers[0].param_groups]
        self.optimizer_state = len(trainer.optimizers[0].state)
        self.base_rates = trainer.lr_scheduler_configs[0].scheduler.base_lrs
        self.total = getattr(trainer.lr_scheduler_configs[0].scheduler, "total_steps", None)


class Numbers(pl.loggers.logger.Logger):
    """Keeps what is logged."""

    name, version = "numbers", 0

    def __init__(self):
        super().__init__()
        self.values = {}

    def log_metrics(self, metrics, step=None):
        self.values |= metrics

    def log_hyperparams(self, params):
        pass


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image):
        return self.head(self.encoder(image))


def fit(tmp_path, finder, data, scheduler=WarmupCosine, epochs=1):
    torch.manual_seed(0)
    module = SegmentationModule(
        network=Net(), outputs=["mask"], loss="bce", encoder_lr_factor=0.1, scheduler=scheduler,
        optimizer=lambda groups, lr=0.123: torch.optim.SGD(groups, lr=lr),
    )  # fmt: skip
    before, start, logger = copy.deepcopy(module.state_dict()), Start(), Numbers()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[finder, start], logger=logger, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, accumulate_grad_batches=2,
        log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert all(torch.equal(start.state[name], value) for name, value in before.items())
    assert start.optimizer_state == 0
    assert list(tmp_path.iterdir()) == []  # its own checkpoint is gone
    return module, start, logger


def test_the_found_rate_reaches_groups_and_schedule(tmp_path):
    """Lightning alone sets every group to one rate, which a schedule overwrites at its first step."""
    finder = LearningRateFinder(min_lr=1e-4, max_lr=100, num_training_steps=30)
    module, start, _ = fit(tmp_path, finder, Data(count=400))
    found = finder.optimal_lr.suggestion()
    assert 1e-3 < found < 100
    assert found != pytest.approx(0.123)
    assert module.learning_rate == pytest.approx(found)
    assert start.base_rates == pytest.approx([0.1 * found, 0.1 * found, found, found])
    assert start.groups == pytest.approx([0.02 * rate for rate in start.base_rates])  # the foot of the warm-up


def test_a_schedule_with_rates_of_its_own_would_ignore_it(tmp_path):
    def table(optimizer):
        return Piecewise(optimizer, [0.1], [1])

    with pytest.raises(ValueError, match="Piecewise sets its own rates"):
        fit(tmp_path, LearningRateFinder(), Data(), table)


def test_on_a_parabola_the_suggestion_descends():
    """loss = w²: above a rate of 1 a step of gradient descent rises; the suggestion stays below."""

    class Parabola(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.weight = 1e-4, nn.Parameter(torch.tensor([3.0]))

        def training_step(self, batch, batch_idx):
            return self.weight.square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    finder = LearningRateFinder(min_lr=1e-4, max_lr=10, num_training_steps=60)
    trainer = pl.Trainer(
        max_steps=1, accelerator="cpu", callbacks=[finder], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Parabola(), DataLoader(torch.zeros(100, 1)))
    assert 1e-3 < finder.optimal_lr.suggestion() < 1


def test_the_found_batch_size_reaches_loader_schedule_and_log(tmp_path):
    """32 rows at a batch of 4 with two accumulated are 4 steps an epoch, at the found 16 a single one."""
    data = Data(count=32)
    finder = BatchSizeFinder(mode="power", steps_per_trial=1, init_val=4, max_val=16)

    def one_cycle(optimizer, **settings):
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, **settings)

    module, start, logger = fit(tmp_path, finder, data, one_cycle, epochs=3)
    assert data.batch_size == finder.optimal_batch_size == 16
    assert data.asked[-1] == 16
    assert start.total == module.trainer.global_step == 3
    assert logger.values["effective_batch"] == 32
