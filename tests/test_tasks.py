"""Every kind of task end to end from YAML: fit, validate, predict, and what lies in the store."""

import csv
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import cli
from commands.command_line.config import read_config
from experiments import load
from experiments.stored_predictions import out_of_fold
from lightning_modules import SegmentationModule
from masks import rle
from predictions.store import PredictionStore

NETWORKS = '''
import torch
from torch import nn
from torch.nn import functional as F


class WithFeatures(nn.Module):
    """Adds a side input to the mask logits; without it the picture alone decides."""

    def __init__(self, features: int = 2):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 1, 3, padding=1), nn.Linear(features, 1)

    def forward(self, image, features):
        return self.conv(image) + self.linear(features)[..., None, None]


class Coarse(nn.Module):
    """Strict about its input: sides must be multiples of 32, as many encoders want."""

    def __init__(self, classes: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, padding=1)

    def forward(self, image):
        assert image.shape[-1] % 32 == 0 and image.shape[-2] % 32 == 0
        return F.interpolate(self.conv(F.avg_pool2d(image, 4)), scale_factor=4)
'''
BASE = """
model:
  class_path: lightning_modules.SegmentationModule
  init_args: {}
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: train/*.png
    test_images: test/*.png
    batch_size: 4
    num_workers: 0
    augmentation:
      - {class_path: albumentations.RandomCrop, init_args: {height: 32, width: 32, pad_if_needed: true}}
cv: {k: 2}
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
    """Twelve pictures of odd sizes with discs and squares; masks, labels, run lengths and facts beside them."""
    random = np.random.default_rng(0)
    for folder in ("train", "test", "masks", "classes", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    tables = {"rle": [("id", "pixels")], "facts": [("name", "site", "tilt", "depth")]}
    for number in range(12):
        height, width = (int(side) for side in random.integers(33, 71, size=2))
        classes = np.zeros((height, width), np.uint8)
        if number % 4:
            classes[5:15, 5:20], classes[18:30, 3:12] = 1, 2
        picture = np.stack([classes * 90 + random.integers(40, size=classes.shape)] * 3, axis=2).astype(np.uint8)
        name, split = f"{number:03d}", "train" if number < 10 else "test"
        Image.fromarray(picture).save(tmp_path / "data" / split / f"{name}.png")
        tables["facts"].append((f"{name}.png", "ABC"[number % 3], number / 10, -number))
        if split == "train":
            Image.fromarray(((classes > 0) * 255).astype(np.uint8)).save(tmp_path / f"data/masks/{name}.png")
            Image.fromarray(classes).save(tmp_path / f"data/classes/{name}.png")
            Image.fromarray(classes.astype(np.uint16)).save(tmp_path / f"data/labels/{name}.png")
            texts = [rle.encode(classes == value) for value in (1, 2) if (classes == value).any()] or ["-1"]
            tables["rle"] += [(name, text) for text in texts]
    for name, rows in tables.items():
        with open(tmp_path / "data" / f"{name}.csv", "w", newline="") as handle:
            csv.writer(handle).writerows(rows)
    (tmp_path / "our_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def work(here: Path, model: dict, data: dict, competition: dict | None = None, extra: tuple = ()) -> dict:
    """Run folds, fit, validate, predict and score; returns the stored predictions of the validation fold."""
    config = yaml.safe_load(textwrap.dedent(BASE))
    config["model"]["init_args"] |= model
    config["data"]["init_args"] |= data
    config["competition"] |= competition or {}
    (here / "task.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["folds", "--config", "task.yaml", "--overwrite", "true"]) == 0
    assert cli.main(["fit", "--config", "task.yaml", "--overwrite", "true", *extra]) == 0
    for verb in ("validate", "predict"):
        quiet = ["--trainer.enable_progress_bar", "false"]
        assert cli.main([verb, "runs/task/fold0", *quiet]) == 0
    assert cli.main(["score", "runs/task"]) == 0
    store = PredictionStore.open(here / "runs/task/fold0/predictions/val")
    assert len(store) == 5
    return {image_id: store.read(image_id) for image_id in store.ids()}


def size_of(here: Path, image_id: str) -> tuple[int, int]:
    return Image.open(here / "data" / "train" / f"{image_id}.png").size[::-1]


def small_unet(classes: int, **more) -> dict:
    encoder = {"encoder_name": "tu-tf_mobilenetv3_small_minimal_100", "encoder_weights": None}
    channels = {"decoder_channels": [16, 16, 8, 8, 8], "classes": classes}
    return {"class_path": "segmentation_models_pytorch.Unet", "init_args": encoder | channels | more}


def target(name: str, **arguments) -> dict:
    return {"class_path": f"datamodules.targets.{name}", "init_args": arguments}


def test_binary_masks_of_files_with_a_loss_mix(here):
    stored = work(
        here,
        {"network": small_unet(1), "outputs": ["mask"], "loss": "1 + bce - dice_score + 0.1 * lovasz"},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")], "cache": "disk"},
    )
    for image_id, arrays in stored.items():
        assert arrays["mask"].shape == (1, *size_of(here, image_id))
    assert list((here / "cache").glob("*.bin"))


def test_classes_of_one_pixel_exclude_each_other(here):
    stored = work(
        here,
        {
            "network": small_unet(3),
            "outputs": ["mask"],
            "activations": {"mask": "softmax"},
            "loss": "cross_entropy(mask) + dice(mask) + lovasz(mask)",
        },
        {"targets": [target("MaskFiles", pattern="classes/{image_id}.png", classes=3)]},
        {
            "metric": {"class_path": "evaluation.metrics.IoUPerImage", "init_args": {"classes": 3}},
            "postprocess": [],
        },
    )
    for image_id, arrays in stored.items():
        assert arrays["mask"].shape == (3, *size_of(here, image_id))
        np.testing.assert_allclose(arrays["mask"].sum(0), 1, atol=3 / 255)


def test_masks_with_an_image_level_output_beside_them(here):
    """SIIM-ACR's 4th place: `2.7 * bce(mask) + 0.9 * dice(mask) + 0.1 * bce(empty)`."""
    stored = work(
        here,
        {
            "network": small_unet(1, aux_params={"classes": 1, "pooling": "avg"}),
            "outputs": ["mask", "empty"],
            "loss": "2.7 * bce(mask) + 0.9 * dice(mask) + 0.1 * bce(empty)",
        },
        {"targets": [target("RunLengths", csv="rle.csv", id_column="id", value_column="pixels"), target("Empty")]},
    )
    for image_id, arrays in stored.items():
        assert arrays["mask"].shape == (1, *size_of(here, image_id))
        assert arrays["empty"].shape == (1,)


@pytest.mark.slow
def test_label_images_and_multi_label_channels(here):
    stored = work(
        here,
        {
            "network": small_unet(2),
            "outputs": [["body", "border"]],
            "loss": "focal(body, gamma=2) + tversky(border)",
            "inference": {
                "class_path": "inference.Inference",
                "init_args": {"tile": 32, "overlap": 0.5, "tta": "flips"},
            },
        },
        {"targets": [target("LabelImages", pattern="labels/{image_id}.png"), target("TouchingBorders")]},
        {
            "metric": {"class_path": "evaluation.metrics.InstanceAveragePrecision"},
            "postprocess": [{"class_path": "postprocessing.Watershed"}],
        },
    )
    for image_id, arrays in stored.items():
        assert set(arrays) == {"body", "border"}
        assert arrays["border"].shape == (1, *size_of(here, image_id))


def test_side_inputs_reach_the_network(here):
    facts = {"metadata": "facts.csv", "test_metadata": "facts.csv", "id_column": "name"}
    model = {"outputs": ["mask"], "loss": "bce", "inputs": ["image", "features"]}
    stored = work(
        here,
        {"network": {"class_path": "our_networks.WithFeatures"}, **model},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")], "features": ["tilt", "depth"], **facts},
    )
    from experiments import load

    predictor = load(here / "runs/task/fold0/checkpoints/best.ckpt")
    weight = predictor.module.network.linear.weight.detach().clone()
    with torch.no_grad():
        predictor.module.network.linear.weight.zero_()
    image_id = next(iter(stored))
    picture = np.asarray(Image.open(here / f"data/train/{image_id}.png"))
    tensor = torch.from_numpy(picture.transpose(2, 0, 1).copy())
    features = torch.tensor([int(image_id) / 10, -int(image_id)], dtype=torch.float32)
    without = predictor.module.predict_image([tensor, features])["mask"]
    with torch.no_grad():
        predictor.module.network.linear.weight.copy_(weight)
    found = predictor.module.predict_image([tensor, features])["mask"].numpy()
    np.testing.assert_allclose(found, stored[image_id]["mask"], atol=1.5 / 255)
    logit = torch.logit(without).add((weight * features).sum())
    np.testing.assert_allclose(found, torch.sigmoid(logit).numpy(), atol=1e-3)


def test_grouped_folds_from_a_metadata_column(here):
    work(
        here,
        {"network": small_unet(1), "outputs": ["mask"], "loss": "bce"},
        {
            "targets": [target("MaskFiles", pattern="masks/{image_id}.png")],
            "metadata": "facts.csv",
            "id_column": "name",
        },
    )
    config = yaml.safe_load((here / "task.yaml").read_text()) | {"cv": {"k": 3, "group": "site"}}
    (here / "grouped.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["folds", "--config", "grouped.yaml"]) == 0
    folds = {row["image_id"]: row["fold"] for row in csv.DictReader(open(here / "folds/grouped.csv"))}
    assert len(folds) == 10
    for site in range(3):
        assert len({folds[f"{number:03d}"] for number in range(10) if number % 3 == site}) == 1
    assert len(set(folds.values())) == 3


def test_out_of_fold_predictions_cover_every_image_once(here):
    settings = (
        {"network": small_unet(1), "outputs": ["mask"], "loss": "bce"},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")]},
    )
    work(here, *settings)
    for verb in (["fit", "--config", "task.yaml", "--data.fold", "1"], ["predict", "runs/task/fold1"]):
        assert cli.main([*verb, "--trainer.enable_progress_bar", "false"]) == 0
    folds = {row["image_id"]: row["fold"] for row in csv.DictReader(open(here / "folds/task.csv"))}
    for fold in "01":
        held = PredictionStore.open(here / f"runs/task/fold{fold}/predictions/val").ids()
        assert held == sorted(image_id for image_id, place in folds.items() if place == fold)
    config = read_config("score", ["runs/task"])
    assert sorted(case.image_id for case in out_of_fold(config)) == sorted(folds)
    # The same image from two runs would let one of them score what it was trained on.
    shutil.copytree(here / "runs/task/fold1", here / "runs/task/again")
    with pytest.raises(SystemExit, match="has out-of-fold predictions in two runs"):
        out_of_fold(read_config("score", ["runs/task"]))


def test_five_folds_out_of_fold_by_models_that_never_saw_the_image(here, monkeypatch):
    """Each training image is predicted once, by the one model of whose training it had no part."""
    seen = {}
    original = SegmentationModule.training_step

    def step(self, batch, batch_idx):
        seen.setdefault(self.trainer.datamodule.fold, set()).update(batch["image_id"])
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "training_step", step)
    config = yaml.safe_load(textwrap.dedent(BASE)) | {"cv": {"k": 5}}
    network = {"class_path": "torch.nn.Conv2d", "init_args": {"in_channels": 3, "out_channels": 1, "kernel_size": 3}}
    network["init_args"]["padding"] = 1
    config["model"]["init_args"] |= {"network": network, "outputs": ["mask"], "loss": "bce"}
    config["data"]["init_args"] |= {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")]}
    (here / "five.yaml").write_text(yaml.safe_dump(config))
    quiet = ["--trainer.enable_progress_bar", "false"]
    assert cli.main(["folds", "--config", "five.yaml"]) == 0
    for fold in range(5):
        assert cli.main(["fit", "--config", "five.yaml", "--data.fold", str(fold), "--seed_everything", str(fold)]) == 0
        assert cli.main(["predict", f"runs/five/fold{fold}", *quiet]) == 0
    everything = {f"{number:03d}" for number in range(10)}
    cases = {}
    for fold in range(5):
        store = PredictionStore.open(here / f"runs/five/fold{fold}/predictions/val")
        assert len(store.ids()) == 2
        assert seen[fold] == everything - set(store.ids())
        assert not cases.keys() & set(store.ids())
        cases |= dict.fromkeys(store.ids(), fold)
    assert set(cases) == everything
    found = out_of_fold(read_config("score", ["runs/five"]))
    assert sorted(case.image_id for case in found) == sorted(everything)
    models = [load(here / f"runs/five/fold{fold}") for fold in range(5)]
    for case in found:
        picture = np.asarray(Image.open(here / f"data/train/{case.image_id}.png"))
        by_model = [model(picture)["mask"] for model in models]
        errors = [np.abs(case.prediction()["mask"] - each).max() for each in by_model]
        assert errors[cases[case.image_id]] < 1.01 / 255
        assert sum(error < 1.01 / 255 for error in errors) == 1  # the other models say something else


def test_a_searched_threshold_repeats_and_is_what_is_submitted(here):
    names = [f"{number:03d}" for number in range(10, 12)]
    with open("data/sample.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("ImageId", "EncodedPixels"), *((name, "") for name in names)])
    network = {"class_path": "torch.nn.Conv2d", "init_args": {"in_channels": 3, "out_channels": 1, "kernel_size": 1}}
    work(
        here,
        {"network": network, "outputs": ["mask"], "loss": "bce"},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")], "sample_submission": "sample.csv"},
        {"submission": {"class_path": "submissions.RunLengths"}},
    )
    random = np.random.default_rng(0)
    for split in ("val", "test"):  # what is to be found has 0.3 to 0.4, all else 0.1 to 0.2
        store = PredictionStore(here / f"runs/task/fold0/predictions/{split}")
        for image_id in store.ids():
            folder = "masks" if split == "val" else "test"
            found = np.asarray(Image.open(here / f"data/{folder}/{image_id}.png").convert("L")) > 100
            store.write(image_id, {"mask": (0.1 + 0.2 * found + 0.1 * random.random(found.shape))[None]})
    searched, values = here / "runs/task/searched.yaml", []
    for _ in range(2):
        assert cli.main(["search", "runs/task", "--sweeps", "1", "--processes", "1"]) == 0
        values.append(searched.read_text())
    assert values[0] == values[1]
    value = yaml.safe_load(values[0])["competition"]["postprocess"][0]["init_args"]["value"]
    assert 0.2 < value < 0.3
    assert cli.main(["submit", "runs/task", "--output", "sub.csv"]) == 0
    store = PredictionStore.open(here / "runs/task/fold0/predictions/test")
    rows = {row["ImageId"]: row["EncodedPixels"] for row in csv.DictReader(open("sub.csv"))}
    assert list(rows) == names
    for image_id, text in rows.items():
        probabilities = store.read(image_id)["mask"][0]
        np.testing.assert_array_equal(rle.decode(text, probabilities.shape), probabilities > value)
        assert 0 < (probabilities > value).sum() < probabilities.size


def test_sizes_that_are_no_multiple_of_the_stride(here):
    stored = work(
        here,
        {"network": {"class_path": "our_networks.Coarse"}, "outputs": ["mask"], "loss": "bce + jaccard"},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")]},
    )
    for image_id, arrays in stored.items():
        assert arrays["mask"].shape == (1, *size_of(here, image_id))


def test_weights_from_another_run_to_start_from(here):
    settings = (
        {"network": small_unet(1), "outputs": ["mask"], "loss": "bce"},
        {"targets": [target("MaskFiles", pattern="masks/{image_id}.png")]},
    )
    work(here, *settings)
    first = torch.load(here / "runs/task/fold0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    begin = ["--experiment", "second", "--model.init_from", "runs/task/fold0", "--model.optimizer.lr", "0.0"]
    assert cli.main(["fit", "--config", "task.yaml", *begin]) == 0
    second = torch.load(here / "runs/second/fold0/checkpoints/last.ckpt", weights_only=True)
    assert second["global_step"] == 1
    for name, value in first.items():
        if name.endswith("weight") and value.ndim > 1:
            torch.testing.assert_close(second["state_dict"][name], value)


def test_the_test_verb_scores_the_test_images(here, capsys):
    for number in (10, 11):
        mask = Image.fromarray(np.full(size_test(here, number), 255, np.uint8))
        mask.save(here / f"data/masks/{number:03d}.png")
    masks = [target("MaskFiles", pattern="masks/{image_id}.png")]
    work(
        here, {"network": small_unet(1), "outputs": ["mask"], "loss": "bce"}, {"targets": masks, "test_targets": masks}
    )
    assert cli.main(["test", "runs/task/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    rows = list(csv.DictReader(open(here / "runs/task/fold0/metrics.csv")))
    assert {row["name"] for row in rows if row["stage"] == "test"} >= {"test/score"}
    none = ["test", "runs/task/fold0", "--data.test_targets", "null"]
    with pytest.raises(ValueError, match="data.test_targets is not set"):
        cli.main(none)


def size_test(here: Path, number: int) -> tuple[int, int]:
    return Image.open(here / "data" / "test" / f"{number:03d}.png").size[::-1]
