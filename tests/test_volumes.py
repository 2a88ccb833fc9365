"""A 3-D segmentation end to end from YAML: folds, fit, validate, predict, score."""

import csv

import numpy as np
import pytest
import torch
import yaml

import cli
from predictions.store import PredictionStore

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed: pip install -e .[volumes]")

NETWORK = '''
from torch import nn


class Small(nn.Module):
    """A 3-D network that wants sides of whole multiples of 4."""

    def __init__(self, classes: int = 1):
        super().__init__()
        first, second = nn.Conv3d(1, 8, 3, padding=1), nn.Conv3d(8, 8, 3, padding=1)
        self.down = nn.Sequential(first, nn.ReLU(), nn.MaxPool3d(2), second)
        self.up = nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv3d(8, classes, 3, padding=1))

    def forward(self, volume):
        assert all(side % 4 == 0 for side in volume.shape[2:])
        return self.up(self.down(volume))
'''
CONFIG = """
model:
  class_path: lightning_modules.SegmentationModule
  init_args:
    network: {class_path: small_network.Small, init_args: {classes: 1}}
    outputs: [mask]
    loss: bce(mask) + dice(mask)
    mean: 0.5
    std: 0.25
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.01}}
    inference:
      class_path: inference.Inference
      init_args: {tile: [8, 16, 16], overlap: 0.5, stride: 4, tta: flips, batch_size: 2}
data:
  class_path: datamodules.volumes.VolumeDataModule
  init_args:
    root: data
    images: images/*.nii.gz
    test_images: test/*.nii.gz
    reader:
      class_path: datamodules.readers.volumes.VolumeReader
      init_args: {axcodes: LPS, spacing: [2.0, 1.0, 1.0], window: [-1000, 1000]}
    targets:
      - {class_path: datamodules.targets.volumes.MaskVolumes, init_args: {pattern: "labels/{image_id}.nii.gz"}}
    windows:
      class_path: datamodules.volumes.VolumePatches
      init_args: {size: [8, 16, 16], positive: 0.5, flips: [row, column]}
    batch_size: 2
    samples_per_image: 2
    num_workers: 0
cv: {k: 3}
competition:
  metric: {class_path: evaluation.metrics.DicePerImage}
  postprocess: [{class_path: postprocessing.Threshold}]
trainer:
  accelerator: cpu
  max_epochs: 1
  enable_progress_bar: false
  enable_model_summary: false
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Six scans with a bright box, of odd sizes, stored in different directions; one is smaller than a patch."""
    random = np.random.default_rng(0)
    for number in range(8):
        size = (5, 15, 13) if number == 0 else tuple(int(side) for side in random.integers(12, 27, size=3))
        mask = np.zeros(size, np.uint8)
        mask[1:4, 3:11, 4:10] = 1
        scan = (random.integers(-200, 200, size) + 600 * mask.astype(int)).astype(np.int16)
        affine = np.diag([1.0 if number % 2 else -1.0, 1.0, 2.0, 1.0])
        folder = "images" if number < 6 else "test"
        for kind, array in ((folder, scan), ("labels", mask)):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.T, affine), tmp_path / f"data/{kind}/{number}.nii.gz")
    (tmp_path / "small_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size_of(here, image_id: str, folder: str = "images") -> tuple[int, ...]:
    return nibabel.load(here / f"data/{folder}/{image_id}.nii.gz").shape[::-1]


def test_volumes_from_yaml_to_score(here):
    (here / "scans.yaml").write_text(CONFIG)
    quiet = ["--trainer.enable_progress_bar", "false"]
    assert cli.main(["folds", "--config", "scans.yaml"]) == 0
    assert cli.main(["fit", "--config", "scans.yaml", "--data.cache", "disk"]) == 0
    for verb in ("validate", "predict"):
        assert cli.main([verb, "runs/scans/fold0", *quiet]) == 0
    assert cli.main(["score", "runs/scans"]) == 0
    folds = {row["image_id"]: row["fold"] for row in csv.DictReader(open(here / "folds/scans.csv"))}
    store = PredictionStore.open(here / "runs/scans/fold0/predictions/val")
    assert store.ids() == sorted(image_id for image_id, place in folds.items() if place == "0")
    for image_id in store.ids():
        assert store.read(image_id)["mask"].shape == (1, *size_of(here, image_id))
    store = PredictionStore.open(here / "runs/scans/fold0/predictions/test")
    assert {name: store.read(name)["mask"].shape[1:] for name in store.ids()} == {
        name: size_of(here, name, "test") for name in "67"
    }
    rows = [row for row in csv.DictReader(open(here / "runs/scans/fold0/metrics.csv")) if row["name"] == "val/score"]
    assert rows
    assert all(0 <= float(row["value"]) <= 1 for row in rows)


def test_several_classes(here):
    """Class numbers of volumes: left and right half of the box are classes of their own."""
    for number in range(6):
        file = here / f"data/labels/{number}.nii.gz"
        label = nibabel.load(file)
        numbers = np.asarray(label.dataobj).copy()
        numbers[7:][numbers[7:] > 0] = 2
        nibabel.save(nibabel.Nifti1Image(numbers, label.affine), file)
    config = yaml.safe_load(CONFIG)
    config["model"]["init_args"] |= {
        "loss": "cross_entropy(mask) + dice(mask)",
        "activations": {"mask": "softmax"},
        "network": {"class_path": "small_network.Small", "init_args": {"classes": 3}},
    }
    config["data"]["init_args"]["targets"][0]["init_args"]["classes"] = 3
    config["competition"] = {
        "metric": {"class_path": "evaluation.metrics.DiceGlobal", "init_args": {"classes": 3}},
        "postprocess": [],
    }
    (here / "scans.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["folds", "--config", "scans.yaml"]) == 0
    assert cli.main(["fit", "--config", "scans.yaml"]) == 0
    assert cli.main(["predict", "runs/scans/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["score", "runs/scans"]) == 0
    store = PredictionStore.open(here / "runs/scans/fold0/predictions/val")
    for image_id in store.ids():
        mask = store.read(image_id)["mask"]
        assert mask.shape == (3, *size_of(here, image_id))
        np.testing.assert_allclose(mask.sum(axis=0), 1, atol=0.02)


def test_training_learns_what_is_bright(here):
    """The loss falls, so image, mask and `valid` of the patches belong together."""
    config = yaml.safe_load(CONFIG)
    config["data"]["init_args"] |= {"samples_per_image": 20, "fold": "all", "cache": "ram"}
    config["trainer"] |= {"max_epochs": 2, "log_every_n_steps": 1}
    (here / "scans.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    assert cli.main(["fit", "--config", "scans.yaml"]) == 0
    rows = csv.DictReader(open(next(here.glob("runs/scans/*/metrics.csv"))))
    losses = [float(row["value"]) for row in rows if row["name"] == "train/loss"]
    assert losses[-1] < 0.6 * losses[0]
