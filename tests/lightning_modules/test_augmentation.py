"""`model.augmentation`: in training only, drawn from seed, epoch, step and rank."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from augmentations import Augmentation, Colour, CubeIsometries, Geometry
from datamodules.collate import collate_evaluation, collate_training
from lightning_modules import SegmentationModule


class Spy(Augmentation):
    """Remembers what it was given and what it drew."""

    def __init__(self):
        self.seen = []

    def batch(self, batch, full, random):
        self.seen.append((batch["image"].dtype, full, random.integers(1 << 30), torch.is_grad_enabled()))
        return batch | {"image": torch.zeros_like(batch["image"])}


class Inputs(nn.Module):
    """A network that remembers what it sees in training and validation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)
        self.images = {True: [], False: []}

    def forward(self, image):
        self.images[self.training].append(image.detach().clone())
        return self.layer(image)


def samples(count=4):
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image_id": str(number),
            "image": torch.randint(1, 256, (3, 16, 16), dtype=torch.uint8, generator=generator),
            "mask": torch.ones(1, 16, 16, dtype=torch.uint8),
            "original_size": (16, 16),
        }
        for number in range(count)
    ]


def train(augmentation, tmp_path, seed=0, epochs=2, **settings):
    pl.seed_everything(seed, verbose=False)
    network = Inputs()
    module = SegmentationModule(
        network=network, outputs=["mask"], loss="bce", mean=0.0, std=1.0, augmentation=augmentation, **settings
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    train = DataLoader(samples(), batch_size=2, collate_fn=collate_training)
    trainer.fit(module, train, DataLoader(samples(2), batch_size=2, collate_fn=collate_evaluation))
    return network.images


def test_in_training_only_and_before_normalisation(tmp_path):
    spy = Spy()
    images = train([spy], tmp_path)
    assert len(spy.seen) == 4  # two epochs of two batches; validation never
    assert {(dtype, full, grad) for dtype, full, _, grad in spy.seen} == {(torch.uint8, 255.0, False)}
    assert all(image.max() == 0 for image in images[True])
    assert all(image.max() > 0 for image in images[False])


def test_draws_follow_the_seed_and_differ_between_steps_and_epochs(tmp_path):
    draws = []
    for seed in (0, 0, 1):
        spy = Spy()
        train([spy], tmp_path, seed)
        draws.append([draw for *_, draw, _ in spy.seen])
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])
    assert len(set(draws[0])) == 4


def test_ranks_draw_for_themselves(tmp_path, monkeypatch):
    found = []
    for rank in (0, 1):
        spy = Spy()
        monkeypatch.setattr(pl.Trainer, "global_rank", property(lambda _, rank=rank: rank))
        train([spy], tmp_path)
        found.append([draw for *_, draw, _ in spy.seen])
    assert not set(found[0]) & set(found[1])


def test_real_ones_and_a_mask_that_is_not_valid_does_not_count(tmp_path):
    """Turned by 45 degrees, the corners lie outside: the network sees 0 there, the loss does not look."""
    one = train([Geometry(affine=1.0, rotate=[45, 45]), Colour(p=1.0, brightness=0.1)], tmp_path, epochs=1)
    again = train([Geometry(affine=1.0, rotate=[45, 45]), Colour(p=1.0, brightness=0.1)], tmp_path, epochs=1)
    assert all(torch.equal(a, b) for a, b in zip(one[True], again[True], strict=True))
    module = SegmentationModule(network=Inputs(), outputs=["mask"], loss="bce", mean=0.0, std=1.0)
    batch = Geometry(affine=1.0, rotate=[45, 45]).batch(collate_training(samples(2)), 255.0, np.random.default_rng(0))
    logits = torch.zeros(2, 1, 16, 16)
    logits[~batch["valid"][:, None]] = 50.0
    assert module.loss({"mask": logits}, batch)[0].item() == pytest.approx(np.log(2), rel=1e-5)


def test_volumes():
    module = SegmentationModule(network=nn.Conv3d(1, 1, 1), outputs=["mask"], loss="bce", mean=0.0, std=1.0)
    batch = {"image": torch.rand(2, 1, 4, 8, 8), "mask": torch.rand(2, 1, 4, 8, 8).round()}
    found = CubeIsometries(spacing=[2, 1, 1]).batch(batch, 1.0, np.random.default_rng(0))
    assert module.loss({"mask": module.network(found["image"])}, found)[0].isfinite()
