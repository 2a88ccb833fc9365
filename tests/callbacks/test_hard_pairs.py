"""Siamese training from YAML: pairs, their scoring every few epochs, resume, what is predicted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image

import cli
from callbacks.hard_pairs import HardPairs
from datamodules import ImageDataModule
from datamodules.pairs import PairDataModule
from datamodules.samplers.hard_pairs import hard_partners
from datamodules.targets import Labels
from lightning_modules.pairs import PairModule
from networks import ImageClassifier, Siamese
from predictions.store import PredictionStore

CONFIG = """
model:
  class_path: lightning_modules.PairModule
  init_args:
    network:
      class_path: networks.Siamese
      init_args:
        branch:
          class_path: networks.ImageClassifier
          init_args: {encoder: tf_mobilenetv3_small_minimal_100, classes: 0, pooling: max}
    outputs: [same]
    inputs: [image, other]
    loss: bce
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.001}}
data:
  class_path: datamodules.PairDataModule
  init_args:
    root: data
    images: train/*.png
    test_images: test/*.png
    targets:
      - class_path: datamodules.targets.Labels
        init_args: {columns: kind, csv: labels.csv, id_column: name, classes: [a, b, c, d]}
    batch_size: 12
    num_workers: 0
    augmentation:
      - {class_path: albumentations.Resize, init_args: {height: 32, width: 32}}
cv: {k: 2, stratify: kind}
competition:
  metric: {class_path: evaluation.metrics.AreaUnderROC, init_args: {output: same}}
trainer:
  accelerator: cpu
  max_epochs: 2
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - {class_path: callbacks.HardPairs, init_args: {every: 1, noise: 0.5, decay: 0.5}}
"""
NAMES = ("whole", "parts")
COLOURS = {"a": (220, 40, 40), "b": (40, 220, 40), "c": (40, 40, 220), "d": (200, 200, 40)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Twenty-four pictures of four colours, of odd sizes."""
    random = np.random.default_rng(0)
    rows = []
    for folder in ("train", "test"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(28):
        kind, split = "abcd"[number % 4], "train" if number < 24 else "test"
        height, width = random.integers(30, 40, size=2)
        picture = np.clip(np.array(COLOURS[kind]) + random.normal(0, 40, (height, width, 3)), 0, 255)
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / split / f"{number:03d}.png")
        rows.append((f"{number:03d}.png", kind))
    pd.DataFrame(rows[:24], columns=["name", "kind"]).to_csv(tmp_path / "data" / "labels.csv", index=False)
    config = yaml.safe_load(CONFIG)
    config["data"]["init_args"] |= {"metadata": "labels.csv", "id_column": "name"}
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["folds", "--config", "pairs.yaml"]) == 0
    return tmp_path


def test_two_epochs_from_yaml_and_what_lies_in_the_store(here):
    assert cli.main(["fit", "--config", "pairs.yaml", "--checkpoint.monitor", "null"]) == 0
    checkpoint = torch.load("runs/pairs/fold0/checkpoints/last.ckpt", weights_only=True)
    planned = checkpoint["callbacks"]["HardPairs"]["sampler"]
    assert planned["begun"] == 1  # scored before the second epoch, too
    classes = "abcd"
    labels = pd.read_csv("data/labels.csv")["kind"].map(classes.index)
    folds = pd.read_csv("folds/pairs.csv", dtype={"image_id": str}).set_index("image_id")["fold"]
    trained = np.array([labels[int(name)] for name in sorted(folds.index) if folds[name] != 0])
    partners = planned["partners"][0].numpy()
    assert sorted(partners) == list(range(12))
    assert (trained[partners] != trained).all()
    metrics = pd.read_csv("runs/pairs/fold0/metrics.csv")
    assert metrics[metrics["name"] == "val/score"]["value"].between(0, 1).all()
    scores = pd.read_csv("runs/pairs/fold0/scores.csv")
    assert len(scores) == 24  # each of 12 images with one of its own and a stranger
    assert scores["image_id"].str.contains("~").all()

    quiet = ["--trainer.enable_progress_bar", "false"]
    assert cli.main(["validate", "runs/pairs/fold0", *quiet]) == 0
    assert cli.main(["predict", "runs/pairs/fold0", *quiet]) == 0
    store = PredictionStore.open("runs/pairs/fold0/predictions/test")
    assert store.ids() == ["024", "025", "026", "027"]
    assert store.read("024")["features"].shape == (1024,)


def test_a_stopped_run_goes_on_with_the_planned_pairs(here):
    text = (here / "pairs.yaml").read_text().replace("every: 1", "every: 2")
    (here / "pairs.yaml").write_text(text)
    keep = ["--config", "pairs.yaml", "--data.fold", "all", "--trainer.logger", "false"]
    assert cli.main(["fit", *keep, "--trainer.max_epochs", "3", "--experiment", "whole"]) == 0
    assert cli.main(["fit", *keep, "--trainer.max_epochs", "1", "--experiment", "parts"]) == 0
    again = ["--trainer.max_epochs", "3", "--experiment", "parts", "--ckpt_path", "last"]
    assert cli.main(["fit", *keep, *again]) == 0
    whole, resumed = (torch.load(f"runs/{name}/all/checkpoints/last.ckpt", weights_only=True) for name in NAMES)
    plans = [content["callbacks"]["HardPairs"]["sampler"] for content in (whole, resumed)]
    assert plans[0]["begun"] == plans[1]["begun"] == 2
    assert torch.equal(plans[0]["partners"], plans[1]["partners"])
    torch.testing.assert_close(whole["state_dict"], resumed["state_dict"], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_two_ranks_plan_what_one_does(here):
    keep = ["--config", "pairs.yaml", "--checkpoint.monitor", "null", "--trainer.max_epochs", "1"]
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--experiment", "parts"]
    assert cli.main(["fit", *keep, "--experiment", "whole"]) == 0
    # A process of its own: the ranks start as copies of the command.
    command = [sys.executable, str(Path(cli.__file__)), "fit", *keep, *two]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = (torch.load(f"runs/{name}/fold0/checkpoints/last.ckpt", weights_only=True) for name in NAMES)
    plans = [content["callbacks"]["HardPairs"]["sampler"]["partners"] for content in (one, other)]
    assert torch.equal(*plans)


def parts(workers: int = 0) -> tuple[PairModule, PairDataModule]:
    torch.manual_seed(0)
    branch = ImageClassifier("tf_mobilenetv3_small_minimal_100", 0, pooling="max")
    module = PairModule(Siamese(branch), ["same"], "bce", inputs=["image", "other"])
    import albumentations

    data = PairDataModule(
        root="data",
        images="train/*.png",
        targets=[Labels("kind", "labels.csv", "name", classes=["a", "b", "c", "d"])],
        augmentation=[albumentations.Resize(32, 32)],
        batch_size=12,
        num_workers=workers,
        fold="all",
    )
    return module, data


@pytest.mark.parametrize("workers", [0, 1])
def test_the_first_epoch_already_meets_the_hardest(here, workers):
    """Also where workers draw pairs before the first hook."""
    module, data = parts(workers)
    seen: list[tuple[str, str]] = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.extend(
                tuple(pair.split("~")) for pair, same in zip(batch["image_id"], batch["same"], strict=True) if not same
            )

        def on_train_start(self, trainer, pl_module):
            with torch.no_grad():
                images = next(iter(data.scored_dataloader()))["image"]
            assert images[0].dtype == torch.uint8

    scorer = HardPairs(every=5, noise=0.0)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[scorer, Watch()],
    )
    expected = {}
    original = HardPairs.all_features

    def remembered(self, *args):
        expected["features"] = original(self, *args)
        return expected["features"]

    scorer.all_features = remembered.__get__(scorer)
    before = [module.state_dict()[name].clone() for name in ("network.branch.encoder.bn1.running_mean",)]
    trainer.fit(module, datamodule=data)
    assert not torch.equal(module.state_dict()["network.branch.encoder.bn1.running_mean"], before[0])
    network = parts()[0].eval().network  # the same seed: the weights before training
    scores = network.scores(expected["features"], expected["features"]).numpy()
    hardest = hard_partners(scores, data.image_classes("train"), 0.0, np.random.default_rng(0))
    ids = data.split_table("train")["image_id"].tolist()
    assert len(seen) == 24
    assert {(ids[image], ids[partner]) for image, partner in enumerate(hardest)} == set(seen)


def test_scoring_leaves_the_network_as_it_is(here):
    module, data = parts()
    data.setup("fit")
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.datamodule = data
    module.train()
    module.network.branch.encoder.bn1.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.trainer = trainer
    features = HardPairs().all_features(trainer, module)
    assert features.shape == (24, 1024)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training
    assert not module.network.branch.encoder.bn1.training
    assert module.network.branch.encoder.conv_stem.training


def test_pairs_of_training_are_augmented_apart(here):
    import albumentations

    module, data = parts()
    data.augmentation = [albumentations.RandomCrop(16, 16)]
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == batch["other"].shape == (12, 3, 16, 16)
    assert batch["same"].shape == (12, 1)
    assert all(isinstance(pair, str) for pair in batch["image_id"])


def test_wrong_parts_are_refused(here):
    module, data = parts()
    with pytest.raises(ValueError, match="HardPairs: every is 0"):
        HardPairs(every=0)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = ImageDataModule(root="data", images="train/*.png", targets=data.targets)
    with pytest.raises(ValueError, match=r"data is ImageDataModule, expected datamodules.PairDataModule"):
        HardPairs().setup(trainer, module, "fit")
    trainer.datamodule = data
    module.network = module.network.branch
    with pytest.raises(ValueError, match="PairModule with ImageClassifier cannot score pairs"):
        HardPairs().setup(trainer, module, "fit")
    with pytest.raises(ValueError, match="has 0 targets Labels of kind single, expected 1"):
        PairDataModule(root="data", images="train/*.png", targets=[])
    with pytest.raises(ValueError, match="remove data.samples_per_image and data.windows"):
        PairDataModule(root="data", images="train/*.png", targets=data.targets, samples_per_image=2)
