"""Loaders of a datamodule: which rows, in which order, from which batch on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageDataModule
from datamodules.samplers import PositiveRate
from datamodules.targets import MaskFiles
from datamodules.windows import RandomWindows

COUNT, SIDE = 12, 8


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("images", "masks", "test"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(f"data/images/p{number:02}.png")
        mask = np.full((SIDE, SIDE), 255 * (number % 4 > 0), np.uint8)
        Image.fromarray(mask).save(f"data/masks/p{number:02}.png")
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(f"data/test/t{number}.png")
    (tmp_path / "folds.csv").write_text("image_id,fold\n" + "".join(f"p{n:02},{n % 3}\n" for n in range(COUNT)))
    return tmp_path


def module(**settings):
    defaults = {"folds": "folds.csv", "fold": 0, "batch_size": 2, "num_workers": 0, "test_images": "test/*.png"}
    return ImageDataModule("data", "images/*.png", [MaskFiles("masks/{image_id}.png")], **(defaults | settings))


def ready(stage="fit", **settings):
    data = module(**settings)
    data.prepare_data()
    data.setup(stage)
    return data


def ids(loader):
    return [tuple(batch["image_id"]) for batch in loader]


def trainer_at(epoch, batch, last=False):
    """Where a resumed training stands, as Lightning tells it: within an epoch, or after its last batch."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch, ready=epoch + (batch > 0)))
    batches = SimpleNamespace(current=SimpleNamespace(processed=batch), is_last_batch=last)
    loop = SimpleNamespace(epoch_progress=progress, epoch_loop=SimpleNamespace(batch_progress=batches))
    return SimpleNamespace(fit_loop=loop, lightning_module=None)


@pytest.mark.parametrize("settings", [{}, {"samples_per_image": 2}, {"sampler": PositiveRate(0.5)}])
def test_a_resumed_epoch_leaves_out_what_was_drawn_and_the_next_is_whole(root, settings):
    data = ready(**settings)
    data.trainer = trainer_at(1, 0)
    loader = data.train_dataloader()
    whole, length = ids(loader), len(loader)
    assert len(whole) == length
    for batch in range(1, length):
        data.trainer = trainer_at(1, batch)
        loader = data.train_dataloader()
        assert len(loader) == length
        assert ids(loader) == whole[batch:]
        loader.sampler.set_epoch(2)
        assert len(ids(loader)) == length
    data.trainer = trainer_at(0, length, last=True)  # from the validation at the end of epoch 0
    assert ids(data.train_dataloader()) == whole


def test_an_epoch_has_every_training_image_and_validation_the_others(root):
    data = ready()
    train = sorted(one for batch in ids(data.train_dataloader()) for one in batch)
    assert train == [f"p{number:02}" for number in range(COUNT) if number % 3]
    assert [one for batch in ids(data.val_dataloader()) for one in batch] == ["p00", "p03", "p06", "p09"]
    everything = ready(fold="all")
    assert everything.val_dataloader() == []
    assert len(everything.train_dataloader().dataset) == COUNT


@pytest.mark.parametrize("cache", ["none", "ram", "disk"])
def test_samples_are_the_same_from_files_and_caches(root, cache):
    batch = next(iter(ready(cache=cache).train_dataloader()))
    plain = next(iter(ready().train_dataloader()))
    assert torch.equal(batch["image"], plain["image"])
    assert torch.equal(batch["mask"], plain["mask"])


def test_prediction_has_a_loader_a_split_and_skips_what_is_done(root):
    data = module()
    data.predict_split = ["val", "test"]
    data.prepare_data()
    data.setup("predict")
    data.skip("test", ["t0", "t2"])
    val, test = data.predict_dataloader()
    assert [one for batch in ids(val) for one in batch] == ["p00", "p03", "p06", "p09"]
    assert ids(test) == [("t1",)]
    assert set(next(iter(test))) >= {"image", "image_id", "original_size"}
    assert "mask" not in next(iter(val)), "predictions need no targets"


def test_a_sampler_of_images_and_windows_of_them_exclude_each_other(root):
    data = ready(sampler=PositiveRate(0.5), windows=RandomWindows(4))
    with pytest.raises(ValueError, match="remove one of them"):
        data.train_dataloader()


def test_a_missing_mask_is_told_before_training(root):
    (root / "data" / "masks" / "p05.png").unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="p05"):
        ready()
