"""The Data Science Bowl layout through the datamodule: folds, samples, determinism, bad input."""

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageDataModule
from datamodules.quickstart import Nuclei
from datamodules.readers import ImageReader, ImageReadError
from datamodules.samplers import EvaluationSampler, TrainingSampler
from datamodules.targets import Empty, Foreground, InstanceFolders, MaskFiles, TouchingBorders
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, read_folds, write_folds


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuclei") / "data"
    Nuclei(train=6, test=2).write(folder)
    return folder


def module(root, tmp_path, **arguments):
    import albumentations

    settings = {
        "images": "stage1_train/*/images/*.png",
        "test_images": "stage1_test/*/images/*.png",
        "targets": [InstanceFolders("stage1_train/{image_id}/masks/*.png"), TouchingBorders(), Empty("instances")],
        "folds": str(tmp_path / "folds.csv"),
        "augmentation": [albumentations.RandomCrop(64, 64), albumentations.D4(p=1)],
        "batch_size": 3,
        "num_workers": 0,
    }
    data = ImageDataModule(str(root), **settings | arguments)
    write_folds(make_folds(data.fold_table(CrossValidation(k=2)), CrossValidation(k=2)), tmp_path / "folds.csv")
    return data


def test_training_batch_and_evaluation_lists(root, tmp_path):
    data = module(root, tmp_path)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (3, 3, 64, 64)
    assert batch["image"].dtype == torch.uint8
    assert batch["body"].shape == batch["border"].shape == (3, 1, 64, 64)
    assert "instances" not in batch
    evaluation = next(iter(data.val_dataloader()))
    height, width = evaluation["original_size"][0]
    assert evaluation["image"][0].shape == (3, height, width)
    assert evaluation["instances"][0].dtype == torch.int32
    train, val = set(data.split_table("train")["image_id"]), set(data.split_table("val")["image_id"])
    assert not train & val
    assert len(train | val) == 6


@pytest.mark.parametrize("keep", ["none", "ram"])
def test_samples_repeat_with_the_seed_and_differ_between_epochs(root, tmp_path, keep):
    def epoch(number, workers):
        data = module(root, tmp_path, cache=keep, num_workers=workers)
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        return torch.cat([batch["image"].flatten() for batch in loader])

    first = epoch(0, 0)
    assert torch.equal(first, epoch(0, 2))
    assert not torch.equal(first, epoch(1, 0))


def test_borders_lie_where_two_instances_are_near():
    labels = np.zeros((20, 20), np.uint16)
    labels[2:10, 2:10], labels[2:10, 10:18], labels[14:18, 2:6] = 1, 2, 3
    made = TouchingBorders(width=2).derive({"instances": labels})
    assert made["body"].sum() == (labels > 0).sum()
    rows, columns = np.nonzero(made["border"][0])
    assert {8, 9, 10, 11} == set(columns.tolist())
    assert rows.max() < 12


def test_empty_and_foreground():
    labels = np.zeros((4, 4), np.uint16)
    assert Empty("instances").derive({"instances": labels})["empty"] == [1]
    labels[0, 0] = 7
    assert Empty("instances").derive({"instances": labels})["empty"] == [0]
    assert Foreground().derive({"instances": labels})["mask"].sum() == 1


def test_shards_are_disjoint_and_evaluation_is_padded(monkeypatch):
    from datamodules.samplers import sharded

    def of_ranks(sampler):
        lists = []
        for rank in range(2):
            monkeypatch.setattr(sharded, "rank_and_world", lambda rank=rank: (rank, 2))
            lists.append(list(sampler))
        return lists

    one, other = of_ranks(TrainingSampler(7))
    assert len(one) == len(other) == 3
    assert not {draw.index for draw in one} & {draw.index for draw in other}
    one, other = of_ranks(EvaluationSampler(7))
    assert len(one) == len(other) == 4
    assert set(one) | set(other) == set(range(7))


def test_duplicates_stay_in_one_fold_and_a_split_group_is_refused(root, tmp_path):
    data = module(root, tmp_path)
    table = data.fold_table(CrossValidation())
    table.loc[3, "pixels"] = table.loc[0, "pixels"]
    folds = make_folds(table, CrossValidation(k=2))
    assert folds["fold"][0] == folds["fold"][3]
    folds.loc[0, "fold"] = 1 - folds["fold"][3]
    write_folds(folds, tmp_path / "broken.csv")
    with pytest.raises(ValueError, match="more than one fold"):
        read_folds(tmp_path / "broken.csv")


def test_no_crop_is_explained(root, tmp_path):
    data = module(root, tmp_path, augmentation=[])
    data.setup("fit")
    with pytest.raises(ValueError, match=r"albumentations\.RandomCrop"):
        next(iter(data.train_dataloader()))


class Row:
    def __init__(self, path):
        self.image_id, self.path = "x", str(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "LA"])
def test_every_kind_of_png(tmp_path, mode):
    array = np.arange(30, dtype=np.uint8).reshape(5, 6)
    picture = Image.fromarray(array.astype(np.uint16) * 900) if mode == "I;16" else Image.fromarray(array).convert(mode)
    picture.save(tmp_path / "a.png")
    image = ImageReader().read(Row(tmp_path / "a.png"))
    assert image.shape == (5, 6, 3)
    assert image.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    if mode == "I;16":
        np.testing.assert_array_equal(image[..., 0], array.astype(np.uint16) * 900)
    assert ImageReader().size(Row(tmp_path / "a.png")) == (5, 6)


def test_exif_turns_image_and_size(tmp_path):
    picture = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    image = ImageReader("gray").read(Row(tmp_path / "a.png"))
    np.testing.assert_array_equal(image[..., 0], np.rot90(np.arange(30).reshape(5, 6), -1))
    assert ImageReader().size(Row(tmp_path / "a.png")) == (6, 5)


@pytest.mark.parametrize("damage", ["cut", "empty", "html", "missing"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    content = {"cut": path.read_bytes()[:2000], "empty": b"", "html": b"<html>no</html>"}.get(damage)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"a\.png"):
        ImageReader().read(Row(path))


def test_masks_of_two_values_and_of_three(tmp_path):
    target = MaskFiles("{image_id}.png")
    target.root = tmp_path
    for top in (1, 255):
        Image.fromarray(np.array([[0, top]], np.uint8)).save(tmp_path / "x.png")
        assert target.read(Row("x"), (1, 2))["mask"].tolist() == [[[0, 1]]]
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png has values \[0, 1, 2\]"):
        target.read(Row("x"), (1, 3))
    with pytest.raises(ValueError, match="its image 'x' is"):
        target.read(Row("x"), (3, 3))


def test_real_files_in_the_competition_layout(competition_data, tmp_path):
    import subprocess
    import sys

    script = competition_data / "competition_layout.py"
    subprocess.run([sys.executable, script, "dsb2018", tmp_path / "dsb", "--limit", "6"], check=True)
    data = module(tmp_path / "dsb", tmp_path, test_images=None)
    data.setup("fit")
    for row in data.table().itertuples(index=False):
        truth = data.target_arrays(row)
        saved = np.asarray(Image.open(competition_data / "dsb2018" / "labels" / f"{row.image_id}.png"))
        assert len(np.unique(truth["instances"])) == len(np.unique(saved))
        np.testing.assert_array_equal(truth["instances"] > 0, saved > 0)


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_training_on_positives_alone(tmp_path, cache):
    """No empty image is drawn in training; validation keeps them."""
    for number in range(8):
        mask = np.zeros((32, 32), np.uint8)
        mask[: 8 * (number % 2), :8] = 255
        for folder, pixels in (("train", np.full((32, 32, 3), number, np.uint8)), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    settings = {"images": "train/*.png", "targets": [MaskFiles("masks/{image_id}.png")], "batch_size": 2}
    folds = {"folds": str(tmp_path / "folds.csv"), "num_workers": 0, "cache": cache}
    data = ImageDataModule(str(tmp_path), **settings, **folds, positives_only=True)
    write_folds(make_folds(data.fold_table(CrossValidation(k=2)), CrossValidation(k=2)), tmp_path / "folds.csv")
    data.setup("fit")
    trained = [sample for batch in data.train_dataloader() for sample in batch["image_id"]]
    assert trained
    assert all(int(image_id) % 2 for image_id in trained)
    validated = data.split_table("val")["image_id"].tolist()
    assert any(int(image_id) % 2 == 0 for image_id in validated)
    for number in range(8):
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / f"masks/{number}.png")
    empty = ImageDataModule(str(tmp_path), **settings, **folds, positives_only=True)
    with pytest.raises(ValueError, match="masks of all 4 training images are empty"):
        empty.split_table("train")
