"""Class frequencies, policies, stages and sizes in one run from YAML."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import cli

CONFIG = """
model:
  class_path: lightning_modules.ClassificationModule
  init_args:
    network:
      class_path: networks.ImageClassifier
      init_args: {encoder: tf_mobilenetv3_small_minimal_100, classes: 3}
    outputs: [label]
    activations: {label: softmax}
    loss: cross_entropy
    augmentation:
      - class_path: augmentations.ByClass
        init_args:
          p: 0.2
          beta: 0.5
          augmentation:
            - {class_path: augmentations.Geometry, init_args: {hflip: 1.0}}
      - class_path: augmentations.Stages
        init_args:
          stages:
            none: []
            soft: [{class_path: augmentations.Geometry, init_args: {affine: 1.0, rotate: [-30, 30]}}]
            hard: [{class_path: augmentations.Geometry, init_args: {affine: 1.0, rotate: 30, extremes: true}}]
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: train/*.png
    metadata: labels.csv
    targets:
      - {class_path: datamodules.targets.Labels, init_args: {columns: kind, classes: [a, b, c]}}
    batch_size: 4
    num_workers: 0
    augmentation:
      - {class_path: albumentations.Resize, init_args: {height: 40, width: 40}}
      - {class_path: albumentations.CLAHE, init_args: {p: 0.1}}
      - class_path: torchvision.transforms.v2.TrivialAugmentWide
      - class_path: torchvision.transforms.v2.RandAugment
        init_args: {num_ops: 1, magnitude: 5}
      - class_path: augmentations.ByClass
        init_args:
          target: label
          augmentation:
            - {class_path: albumentations.GaussNoise, init_args: {std_range: [0.02, 0.1], p: 1.0}}
            - {class_path: augmentations.TimmPolicy, init_args: {policy: rand-m5-n1}}
      - class_path: augmentations.Stages
        init_args:
          stages:
            none: []
            soft: [{class_path: albumentations.Rotate, init_args: {limit: [-30, 30], p: 1.0}}]
            hard:
              - class_path: albumentations.OneOf
                init_args:
                  p: 1.0
                  transforms:
                    - {class_path: albumentations.Rotate, init_args: {limit: [-30, -30], p: 1.0}}
                    - {class_path: albumentations.Rotate, init_args: {limit: [30, 30], p: 1.0}}
cv: {k: 2, stratify: kind}
competition:
  metric: {class_path: evaluation.metrics.LogLoss, init_args: {output: label}}
trainer:
  accelerator: cpu
  max_epochs: 9
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
  callbacks:
    - class_path: callbacks.AugmentationSchedule
      init_args: {stages: [{use: none, epochs: 1}, {use: soft, epochs: 1}, {use: hard, epochs: 1}]}
    - class_path: callbacks.ImageSize
      init_args: {sizes: {0: 32, 1: null}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    (tmp_path / "data" / "train").mkdir(parents=True)
    kinds = ["a"] * 8 + ["b"] * 6 + ["c"] * 2
    for number in range(16):
        pixels = random.integers(0, 256, (44, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "train" / f"{number:02d}.png")
    table = pd.DataFrame({"image_id": [f"{number:02d}" for number in range(16)], "kind": kinds})
    table.to_csv(tmp_path / "data" / "labels.csv", index=False)
    (tmp_path / "kinds.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["folds", "--config", "kinds.yaml"]) == 0
    return tmp_path


def test_one_run_with_all_of_it(here):
    assert cli.main(["fit", "--config", "kinds.yaml"]) == 0
    checkpoint = torch.load("runs/kinds/fold0/checkpoints/last.ckpt", weights_only=True)
    state = checkpoint["callbacks"]["AugmentationSchedule"]
    assert state["begins"] == [0, 1, 2]
    assert state["epoch"] == 3
    saved = yaml.safe_load(open("runs/kinds/fold0/config.yaml"))
    steps = saved["data"]["init_args"]["augmentation"]
    assert [step["class_path"].rpartition(".")[2] for step in steps] == [
        "Resize",
        "CLAHE",
        "TrivialAugmentWide",
        "RandAugment",
        "ByClass",
        "Stages",
    ]
    # What a search would vary has a place in the config.
    assert steps[3]["init_args"]["magnitude"] == 5
    assert steps[4]["init_args"]["augmentation"][1]["init_args"]["policy"] == "rand-m5-n1"
    assert steps[5]["init_args"]["stages"]["soft"][0]["init_args"]["limit"] == [-30, 30]
    metrics = pd.read_csv("runs/kinds/fold0/metrics.csv")
    stages = metrics[metrics["name"] == "train/augmentation"].sort_values("step")["value"].tolist()
    assert stages == [0, 1, 2]  # hard for one epoch, after which the run ended by itself
