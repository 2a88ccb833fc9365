"""Our own augmentations in the loader's workers, beside albumentations, with masks and boxes."""

import albumentations
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from augmentations import Colour, Cutmix, Geometry
from datamodules import ImageDataModule
from datamodules.targets import ArrayFiles, Boxes, MaskFiles
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, write_folds


@pytest.fixture
def root(tmp_path):
    """Pictures that are their own mask in grey."""
    random = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((48, 56), np.uint8)
        top, left = random.integers(4, 20, 2)
        mask[top : top + 20, left : left + 14] = 255
        for folder, pixels in (("train", np.stack([mask // 2 + number] * 3, -1)), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    return tmp_path


def module(root, augmentation, **more):
    settings = {"targets": [MaskFiles("masks/{image_id}.png")], "batch_size": 4, "num_workers": 0} | more
    data = ImageDataModule(str(root), "train/*.png", augmentation=augmentation, folds=str(root / "f.csv"), **settings)
    write_folds(make_folds(data.fold_table(CrossValidation(k=2)), CrossValidation(k=2)), root / "f.csv")
    data.fold = "all"
    data.setup("fit")
    return data


def steps():
    return [
        albumentations.PadIfNeeded(64, 64, border_mode=0),
        albumentations.D4(p=1),
        Geometry(crop=[32, 32], crop_area=[0.3, 0.9], affine=1.0, rotate=30, elastic=1.0),
        Colour(p=1.0, brightness=0.1),
        albumentations.HorizontalFlip(p=0.5),
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_image_and_mask_move_together(root, workers):
    data = module(root, steps(), num_workers=workers)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["image"].dtype == torch.uint8
    assert set(batch["mask"].unique().tolist()) <= {0, 1}
    bright = batch["image"][:, 0] > 80
    assert (bright != (batch["mask"][:, 0] > 0)).float().mean() < 0.02
    assert batch["valid"].shape == (4, 32, 32)


def test_the_seed_decides_and_epochs_differ(root):
    batches = []
    for _ in range(2):
        loader = module(root, steps()).train_dataloader()
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            batches.append(next(iter(loader)))
    assert torch.equal(batches[0]["image"], batches[2]["image"])
    assert torch.equal(batches[1]["image"], batches[3]["image"])
    assert not torch.equal(batches[0]["image"], batches[1]["image"])


def test_valid_only_where_something_moved_out(root):
    """Samples whose frame holds everything get a full one, so that the batch stacks."""
    data = module(root, [Geometry(affine=0.5, rotate=[45, 45], d4=1.0, crop=[48, 48])])
    loader = data.train_dataloader()
    for epoch in range(8):
        loader.sampler.set_epoch(epoch)
        batch = next(iter(loader))
        if "valid" in batch:
            whole = batch["valid"].flatten(1).all(1)
            assert batch["valid"].dtype == torch.bool
            if whole.any() and not whole.all():
                return
    pytest.fail("no batch with both kinds was drawn")


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "int32", "int64"])
@pytest.mark.parametrize(
    "step", [albumentations.HorizontalFlip(p=1), Geometry(affine=0, hflip=1.0), v2.RandomHorizontalFlip(1.0)]
)
def test_truth_of_any_type_reaches_the_loss_as_it_is(root, kind, step):
    """Heights of 0.7 metres, ids of 70,000, depths below 0."""
    random, truth = np.random.default_rng(0), {}
    for number in range(4):
        numbers = random.choice([0.7, -100, 70_000, 1.5, 0, 255], (48, 56))
        truth[str(number)] = (numbers if kind.startswith("float") else np.rint(numbers) % 30_000).astype(kind)
        if kind == "int32":
            truth[str(number)] = np.rint(numbers).astype(kind)
        if kind == "int64":  # class numbers, by the rule of ArrayFiles
            truth[str(number)] = np.abs(np.rint(numbers)).astype(kind) % 254
        truth[str(number)][truth[str(number)] == 255] = 254  # as a class number it is void
        np.save(root / f"{number}.npy", truth[str(number)])
    data = module(root, [step], targets=[ArrayFiles("{image_id}.npy", "height")])
    batch = next(iter(data.train_dataloader()))
    for image_id, found in zip(batch["image_id"], batch["height"], strict=True):
        assert str(found.dtype) == f"torch.{kind}"
        assert (found.numpy() == truth[image_id][:, ::-1]).all()


def test_boxes(root):
    rows = [("0", 10, 10, 30, 30), ("1", 5, 5, 20, 40)]
    pd.DataFrame(rows, columns=["image_id", "x", "y", "w", "h"]).to_csv(root / "boxes.csv", index=False)
    target = Boxes("boxes.csv", "csv", columns=["x", "y", "w", "h"], layout="xywh")
    data = module(root, [Geometry(hflip=1.0)], targets=[target], batch_size=1)
    for batch in data.train_dataloader():
        if batch["image_id"] == ["0"]:
            assert batch["boxes"][0].tolist() == [[56 - 40, 10, 56 - 10, 40]]
            return
    pytest.fail("the image was not drawn")


def test_what_wants_a_batch_says_where_it_belongs(root):
    data = module(root, [Cutmix()])
    with pytest.raises(ValueError, match=r"Cutmix works on batches; put it into model\.augmentation"):
        next(iter(data.train_dataloader()))
