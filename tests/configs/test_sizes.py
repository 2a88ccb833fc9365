"""The same network at several sizes (M35): trained small, tuned larger, and both in one ensemble."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor, nn

import cli
from experiments.search_space import locate, overlay
from predictions.store import PredictionStore

IDS, TEST = [f"p{number}" for number in range(6)], ["u0", "u1"]
SEEN: set[tuple[int, int]] = set()


class Net(nn.Module):
    """Any size goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 1)

    def forward(self, image: Tensor) -> Tensor:
        SEEN.add(tuple(image.shape[-2:]))
        return self.head(self.encoder(image).mean((2, 3)))


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in (*IDS, *TEST):
        path = Path("data") / ("train" if name in IDS else "test") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 255, (40, 40, 3), np.uint8))
    pd.DataFrame({"image_id": IDS, "sick": [0, 1] * 3}).to_csv("data/labels.csv", index=False)
    target = {"columns": "sick", "csv": "labels.csv", "kind": "number"}
    content = {
        "model": {
            "class_path": "lightning_modules.ClassificationModule",
            "init_args": {
                "network": {"class_path": f"{__name__}.Net"},
                "outputs": ["label"],
                "loss": "bce",
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.0}},
                "inference": {"stride": 1, "size": [12, 12]},
            },
        },
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {
                "root": "data",
                "images": "train/*.png",
                "test_images": "test/*.png",
                "folds": "folds.csv",
                "targets": [{"class_path": "datamodules.targets.Labels", "init_args": target}],
                "augmentation": [{"class_path": "albumentations.Resize", "init_args": {"height": 12, "width": 12}}],
                "batch_size": 2,
                "num_workers": 0,
                "fold": 0,
            },
        },
        "cv": {"k": 2},
        "competition": {"metric": {"class_path": "evaluation.metrics.AreaUnderROC"}},
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "panels": 0,
    }
    Path("c.yaml").write_text(yaml.safe_dump(content))
    return content


def sizes(*arguments):
    """What the network has seen meanwhile."""
    SEEN.clear()
    assert cli.main(list(arguments)) == 0
    return set(SEEN)


def test_a_size_is_respected_from_training_to_prediction_and_weights_go_on(config):
    assert cli.main(["folds", "--config", "c.yaml"]) == 0
    assert sizes("fit", "--config", "c.yaml", "--experiment", "x12") == {(12, 12)}
    assert sizes("predict", "runs/x12/fold0") == {(12, 12)}
    sides = ("model.inference.size", [20, 20]), ("data.augmentation.0.height", 20), ("data.augmentation.0.width", 20)
    larger = overlay(config, {locate(config, key): value for key, value in sides})
    Path("larger.yaml").write_text(yaml.safe_dump(larger))
    given = ["--config", "c.yaml", "--config", "larger.yaml", "--experiment", "x20"]
    assert sizes("fit", *given, "--model.init_from", "runs/x12/fold0") == {(20, 20)}
    assert sizes("predict", "runs/x20/fold0") == {(20, 20)}
    small, large = (
        torch.load(f"runs/x{side}/fold0/checkpoints/last.ckpt", weights_only=True)["state_dict"] for side in (12, 20)
    )
    for name, weight in small.items():  # the learning rate is 0: what the larger one began with is what it holds
        assert torch.equal(weight, large[name])
    assert cli.main(["ensemble", "runs/x12", "runs/x20", "--output", "runs/ens", "--processes", "1"]) == 0
    members = [PredictionStore.open(f"runs/x{side}/fold0/predictions/test") for side in (12, 20)]
    store = PredictionStore.open("runs/ens/ensemble/predictions/test")
    for one in TEST:
        values = [member.read(one)["label"] for member in members]
        assert not np.allclose(*values, atol=1e-7)
        np.testing.assert_allclose(store.read(one)["label"], np.mean(values, axis=0), rtol=1e-5)
