"""A task with a second network and an optimizer for it, as a fork would add one: the base carries it."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from callbacks import FiniteLoss
from datamodules.collate import collate_training
from lightning_modules import SegmentationModule, WarmupCosine
from lightning_modules.optimizers import network_groups


class AdversarialModule(SegmentationModule):
    """Masks that a discriminator takes for an annotator's (Luc et al. 2016)."""

    def __init__(self, *args: Any, discriminator: nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.discriminator, self.automatic_optimization = discriminator, False

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        batch = self.augment(batch, batch_idx)
        first, second = self.optimizers()
        outputs = self(*self.network_inputs(batch))
        total, parts = self.loss(outputs, batch)
        mask = outputs["mask"].sigmoid()
        said = self.discriminator(mask)
        fooled = F.binary_cross_entropy_with_logits(said, torch.ones_like(said))
        real, fake = self.discriminator(batch["mask"].float()), self.discriminator(mask.detach())
        caught = F.softplus(-real).mean() + F.softplus(fake).mean()
        for optimizer, loss in ((first, total + 0.1 * fooled), (second, caught)):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.lr_scheduler_step(self.lr_schedulers(), None)
        self.log_training(total.detach(), parts | {"caught": caught.detach()}, len(batch["image_id"]), batch_idx)
        return total.detach()

    def configure_optimizers(self) -> Any:
        names = [name for name, _ in self.discriminator.named_parameters()]
        return [
            super().configure_optimizers(),
            {"optimizer": self.make_optimizer(network_groups(self.discriminator, names))},
        ]


def discriminator():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    )


def module(kind=AdversarialModule, **more):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    own = {"discriminator": discriminator()} if kind is AdversarialModule else {}
    settings = {"network": network, "outputs": ["mask"], "loss": "bce + dice", "scheduler": WarmupCosine}
    return kind(**settings | own | more)


def loader():
    images = torch.randint(0, 255, (16, 3, 16, 16), dtype=torch.uint8)
    samples = [{"image_id": str(n), "image": image, "mask": (image[:1] > 127).byte()} for n, image in enumerate(images)]
    return DataLoader(samples, batch_size=4, collate_fn=collate_training)


def trainer(folder, **more):
    settings = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**settings | {"max_epochs": 2, "callbacks": [FiniteLoss()], "default_root_dir": folder} | more)


def test_both_are_trained_and_the_schedule_ends_with_the_run(tmp_path):
    made = module()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    ran = trainer(tmp_path)
    ran.fit(made, loader())
    assert ran.global_step == 16  # Lightning counts both
    assert made.progress() == pytest.approx(1)
    assert ran.optimizers[0].param_groups[0]["lr"] < 1e-4
    assert [group.get("weight_decay") for group in ran.optimizers[1].param_groups] == [0.01, 0.0]
    moved = {name.split(".")[0] for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"network", "discriminator"}
    assert set(made.loss_parts) == {"bce", "dice", "caught"}


def test_stages_with_and_without_it_begin_from_each_other(tmp_path):
    for kind, other in ((AdversarialModule, SegmentationModule), (SegmentationModule, AdversarialModule)):
        first = module(kind)
        nn.init.constant_(first.network[0].weight, 0.25)
        torch.save({"state_dict": first.state_dict()}, tmp_path / "first.ckpt")
        second = module(other, init_from=str(tmp_path / "first.ckpt"))
        assert (second.network[0].weight == 0.25).all()


def test_progress_is_that_of_the_batches_whatever_lightning_counts(tmp_path):
    """A step of each of two optimizers is one of the run: a schedule must not be over halfway."""
    seen = {}

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.setdefault(len(trainer.optimizers), []).append(pl_module.progress())

    for kind in (AdversarialModule, SegmentationModule):
        trainer(tmp_path, callbacks=[Watch()]).fit(module(kind), loader())
    assert seen[2] == seen[1] == pytest.approx([number / 8 for number in range(1, 9)])
