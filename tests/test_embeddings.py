"""Metric learning from YAML: a class per folder, several samples of a class in a batch, retrieval as the score."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import cli
from predictions.store import PredictionStore

CONFIG = """
model:
  class_path: lightning_modules.ClassificationModule
  init_args:
    network:
      class_path: networks.ImageClassifier
      init_args: {encoder: resnet10t, classes: 0, embedding: 16}
    outputs: [embedding]
    activations: {embedding: unit}
    loss: >-
      arcface(embedding, label, classes=5, embedding_dim=16, scale=10, lr=0.01) + triplet(embedding, label, margin=0.3)
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.003}}
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: "*/*.png"
    targets:
      - {class_path: datamodules.targets.Labels, init_args: {columns: folder, classes: [a, b, c, d, e]}}
    sampler: {class_path: datamodules.samplers.SamplesPerClass, init_args: {column: folder, samples: 4}}
    batch_size: 8
    num_workers: 0
    cache: ram
cv: {k: 2, stratify: folder}
competition:
  metric: {class_path: evaluation.metrics.RetrievalRecall, init_args: {k: 1}}
  extra_metrics:
    - {class_path: evaluation.metrics.RetrievalMeanAveragePrecision}
trainer:
  max_epochs: 6
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Five classes of stripes, each with an angle of its own, in noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for number, name in enumerate("abcde"):
        (tmp_path / "data" / name).mkdir(parents=True)
        angle = np.pi * number / 5
        for image in range(12):
            stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2 + random.random() * 7)
            pixels = (120 + 60 * stripes[..., None] + random.normal(0, 20, (32, 32, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"data/{name}/{name}{image}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_folders_to_retrieval(here, capsys):
    (here / "stripes.yaml").write_text(CONFIG)
    assert cli.main(["folds", "--config", "stripes.yaml"]) == 0
    assert cli.main(["fit", "--config", "stripes.yaml"]) == 0
    assert cli.main(["predict", "runs/stripes", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["score", "runs/stripes"]) == 0
    rows = [row for row in csv.DictReader(open("runs/stripes/fold0/metrics.csv")) if row["name"] == "val/score"]
    assert float(rows[-1]["value"]) > 0.7  # 0.2 by chance
    store = PredictionStore.open(Path("runs/stripes/fold0/predictions/val"))
    embeddings = np.stack([store.read(image_id)["embedding"] for image_id in store.ids()])
    assert embeddings.shape == (30, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-4)


def test_pairs_without_a_sampler_are_an_error_that_names_it(here):
    config = yaml.safe_load(CONFIG)
    config["data"]["init_args"] |= {"sampler": None, "batch_size": 2}
    (here / "stripes.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["folds", "--config", "stripes.yaml"]) == 0
    with pytest.raises(ValueError, match="set a sampler with several samples"):
        cli.main(["fit", "--config", "stripes.yaml"])
