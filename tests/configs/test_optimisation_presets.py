"""Presets of optimisation in whole runs of the quickstart: what they log, what they leave behind."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

import cli
from datamodules.quickstart import Nuclei
from experiments.loading import load
from lightning_modules.weights import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--data.num_workers", "0", "--data.samples_per_image", "8", "--panels", "0"),
    *("--trainer.limit_val_batches", "1", "--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
    *(
        "--trainer.accelerator",
        "cpu",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("competition")
    Nuclei(train=6, test=2).write(folder / "data" / "quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["folds", "--config", str(ROOT / "configs/quickstart.yaml"), "--cv.k", "2"]) == 0
    return folder


def fit(presets, *flags):
    configs = [ROOT / "configs" / "quickstart.yaml", *presets]
    arguments = [part for config in configs for part in ("--config", str(config))]
    assert cli.main(["fit", *arguments, *SMALL, *flags]) == 0
    values = defaultdict(list)
    for row in csv.DictReader(open("runs/quickstart/fold0/metrics.csv")):
        values[row["name"]].append(float(row["value"]))
    return values


def preset(name):
    return ROOT / "configs" / "presets" / f"{name}.yaml"


def test_layer_decay_and_unfreezing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    few = ["--trainer.limit_train_batches", "2", "--trainer.check_val_every_n_epoch", "3", "--data.batch_size", "2"]
    values = fit([preset("unfreezing")], *few, "--trainer.max_epochs", "3", "--model.layer_decay", "0.65")
    assert len(values["gradient_norm"]) == 6
    assert min(values["gradient_norm"]) > 0
    assert values["effective_batch"] == [2]
    rates = {name: rates for name, rates in values.items() if name.startswith("lr-AdamW/pg")}
    top = max(rates.values())
    for each in rates.values():  # all follow one schedule
        assert [rate / best for rate, best in zip(each, top, strict=True)] == pytest.approx([each[0] / top[0]] * 6)
    assert min(each[0] / top[0] for each in rates.values()) == pytest.approx(0.1 * 0.65**14, rel=1e-4)
    load("runs/quickstart/fold0")  # the checkpoint knows its arguments


@pytest.mark.slow
def test_finders(folder, monkeypatch):
    monkeypatch.chdir(folder)
    callbacks = []
    for name, settings in (
        ("find_batch_size", {"steps_per_trial": 1, "init_val": 2, "max_val": 4}),
        ("find_learning_rate", {"num_training_steps": 13, "early_stop_threshold": None}),
    ):
        (callback,) = yaml.safe_load(preset(name).read_text())["trainer"]["callbacks"]
        callbacks.append({"class_path": callback["class_path"], "init_args": callback["init_args"] | settings})
    Path("finders.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    values = fit(["finders.yaml"], "--trainer.max_steps", "1", "--overwrite", "true", "--data.batch_size", "2")
    assert values["effective_batch"] == [4]
    assert len(values["train/loss"]) == 1
    assert list(Path("runs/quickstart/fold0").glob(".*")) == []
    state = read_checkpoint("runs/quickstart/fold0/checkpoints/last.ckpt")
    assert state["global_step"] == 1
    (schedule,) = state["lr_schedulers"]
    assert schedule["base_lrs"][0] != pytest.approx(0.003)
    assert values["lr-AdamW/pg1"][0] == pytest.approx(0.02 * schedule["base_lrs"][0])
