"""Cross-validation while the last layer alone is tuned (V02): a preset over any config, and `crossval`."""

import csv
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

import cli
from commands import crossval
from evaluation.folds import read_folds

PRESET = Path(__file__).parents[2] / "configs" / "presets" / "tune_last_layer.yaml"


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


def test_heads_of_folds_on_one_body(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    pixel_images(6, side=32)
    config = pixel_config("cv: {k: 2}")
    config["model"]["init_args"]["network"] = {"class_path": f"{__name__}.Net"}
    Path("c.yaml").write_text(yaml.safe_dump(config))
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
