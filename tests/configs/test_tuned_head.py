"""Cross-validation while the last layer alone is tuned (V02): a preset over any config, and `crossval`."""

import csv
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

import cli
from commands import crossval
from evaluation.folds import read_folds

PRESET = Path(__file__).parents[2] / "configs" / "presets" / "tune_last_layer.yaml"
CONFIG = """
model:
  class_path: lightning_modules.SegmentationModule
  init_args:
    network: {class_path: MODULE.Net}
    outputs: [mask]
    loss: bce
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: images/*.png
    targets: [{class_path: datamodules.targets.MaskFiles, init_args: {pattern: "masks/{image_id}.png"}}]
    batch_size: 2
    num_workers: 0
cv: {k: 2}
competition:
  metric: {class_path: evaluation.metrics.DicePerImage}
  postprocess: [{class_path: postprocessing.Threshold, init_args: {value: 0.5}}]
trainer: {max_epochs: 1, enable_progress_bar: false, enable_model_summary: false, accelerator: cpu}
panels: 0
"""


class Net(nn.Module):
    """As smp's networks name their parts."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.segmentation_head = nn.Conv2d(4, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.segmentation_head(self.encoder(image))


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_heads_of_folds_on_one_body(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(6):
        image = random.integers(0, 255, (32, 32, 3), np.uint8)
        cv2.imwrite(f"data/images/p{number}.png", image)
        cv2.imwrite(f"data/masks/p{number}.png", (image[..., 1] > 120).astype(np.uint8) * 255)
    Path("c.yaml").write_text(CONFIG.replace("MODULE", __name__))
    assert cli.main(["fit", "--config", "c.yaml", "--data.fold", "all", "--experiment", "before"]) == 0

    given = ["--config", "c.yaml", "--config", str(PRESET), "--model.init_from", "runs/before/all"]
    given += [
        "--experiment",
        "tuned",
        "--trainer.max_epochs",
        "2",
        "--model.optimizer.lr",
        "0.3",
        "--data.batch_size",
        "1",
    ]
    crossval.main(given, lambda arguments, environment=None, log=None: cli.main(arguments))

    rows = list(csv.DictReader(open("runs/tuned/out_of_fold.csv")))
    assert sorted(row["image_id"] for row in rows) == [f"p{number}" for number in range(6)], "out-of-fold is complete"
    folds = read_folds("folds/c.csv").set_index("image_id")["fold"]
    assert all(int(row["fold"]) == folds[row["image_id"]] for row in rows), "no image is in its own training fold"
    start = weights("runs/before/all/checkpoints/last.ckpt")
    tuned = [weights(f"runs/tuned/fold{fold}/checkpoints/last.ckpt") for fold in range(2)]
    for name in start:
        if name.startswith("network.encoder"):
            assert all(torch.equal(start[name], one[name]) for one in tuned), f"{name} is the body of all folds"
    head = "network.segmentation_head.weight"
    assert not any(torch.equal(one[head], other[head]) for one, other in [(start, tuned[0]), (start, tuned[1]), tuned])
