"""`data.external` from the table to the batch: trained on, weighted, never validated."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from datamodules import ImageDataModule
from datamodules.external import ExternalData, LicencedPhotos
from datamodules.table import find_images
from datamodules.targets import Labels, MaskFiles
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, write_folds
from lightning_modules import ClassificationModule


class Folder(ExternalData):
    """Every picture of a folder, all of one label."""

    def __init__(self, root, weight=0.25, source="elsewhere", label="1", **more):
        super().__init__(root, weight, source, **more)
        self.label = label

    def table(self):
        return self.named(find_images(self.root, "*.png").assign(label=self.label))


def write_pictures(folder, count, value):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((32, 32, 3), value + number, np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def data(tmp_path):
    """Six dark pictures of the competition and four bright ones from elsewhere, with equal file names."""
    write_pictures(tmp_path / "own/train", 6, 10)
    write_pictures(tmp_path / "other", 4, 200)
    with open(tmp_path / "own/train.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("image_id", "label"), *((number, 0) for number in range(6))])

    def make(**more):
        settings = {
            "images": "train/*.png",
            "targets": [Labels("label", csv="train.csv", classes=2)],
            "folds": str(tmp_path / "folds.csv"),
            "external": [Folder(str(tmp_path / "other"))],
            "batch_size": 8,
            "num_workers": 0,
        } | more
        module = ImageDataModule(str(tmp_path / "own"), **settings)
        cv = CrossValidation(k=2)
        write_folds(make_folds(module.fold_table(cv), cv), tmp_path / "folds.csv")
        return module

    return make


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_external_rows_are_trained_on_and_never_validated(data, cache):
    for fold in (0, 1):
        module = data(fold=fold, cache=cache)
        module.setup("fit")
        samples = [sample for batch in module.train_dataloader() for sample in zip_batch(batch)]
        outside = [sample for sample in samples if sample["image_id"].startswith("elsewhere-")]
        assert len(outside) == 4
        assert len(samples) == 3 + 4
        assert all(int(sample["image"].min()) >= 200 and sample["label"] == 1 for sample in outside)
        assert all(sample["weight"] == (0.25 if sample in outside else 1) for sample in samples)
        validated = [image_id for batch in module.val_dataloader() for image_id in batch["image_id"]]
        assert len(validated) == 3
        assert not [image_id for image_id in validated if image_id.startswith("elsewhere")]


def zip_batch(batch):
    names = [name for name in batch if len(batch[name]) == len(batch["image_id"])]
    return [Sample(zip(names, values, strict=True)) for values in zip(*(batch[name] for name in names), strict=True)]


class Sample(dict):
    """A dict that is equal to itself alone, so that `in` does not compare tensors."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_folds_know_nothing_of_external_rows(data):
    module = data()
    table = module.fold_table(CrossValidation(k=2))
    assert set(table["image_id"]) == {str(number) for number in range(6)}


def test_the_weight_of_a_source_reaches_the_loss(data):
    """With weight 0.25, an external sample counts a quarter of what one of the competition does."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    module = ClassificationModule(network=network, outputs=["label"], loss="cross_entropy(label)", mean=0.5, std=0.5)
    datamodule = data()
    datamodule.setup("fit")
    batch = next(iter(datamodule.train_dataloader()))
    outputs = network((batch["image"].float() / 255 - 0.5) / 0.5)
    each = nn.functional.cross_entropy(outputs, batch["label"], reduction="none")
    outside = torch.tensor([image_id.startswith("elsewhere") for image_id in batch["image_id"]])
    expected = (each * torch.where(outside, 0.25, 1.0)).sum() / torch.where(outside, 0.25, 1.0).sum()
    loss = module.loss({"label": outputs}, batch, weight=batch["weight"])[0]
    torch.testing.assert_close(loss, expected)


def test_its_own_targets_and_columns(data, tmp_path):
    """A mask for the pictures from elsewhere under another name, on their own root."""
    (tmp_path / "other/masks").mkdir()
    for number in range(4):
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(tmp_path / f"other/masks/{number}.png")
    table = Folder(str(tmp_path / "other")).table()
    assert table["path"].str.contains("other").all()
    target = MaskFiles("masks/{image_id}.png")
    module = data(external=[Folder(str(tmp_path / "other"), targets=[target])])
    with pytest.raises(FileNotFoundError, match="elsewhere-0"):  # the ids carry the source's name
        module.setup("fit")


def test_bad_input(data, tmp_path):
    other = str(tmp_path / "other")
    with pytest.raises(ValueError, match="source is 'train'"):
        Folder(other, source="train")
    with pytest.raises(ValueError, match="weight is -1"):
        Folder(other, weight=-1)
    with pytest.raises(ValueError, match="two data sets have the source 'elsewhere'"):
        data(external=[Folder(other), Folder(other)])
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv"):
        LicencedPhotos(other).table()
