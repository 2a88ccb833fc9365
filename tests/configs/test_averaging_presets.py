"""Presets that replay, average and keep: parsed as they stand, and in one whole run of the quickstart."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import ArgumentParser
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

import cli
from callbacks import MeanTeacher, Snapshots, TopCheckpoints, WorstBatch
from commands.average import main as average
from datamodules.quickstart import Nuclei
from experiments.loading import load

ROOT = Path(__file__).resolve().parents[2]


def preset(name):
    return ROOT / "configs" / "presets" / f"{name}.yaml"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("worst_batch", WorstBatch, {"every": 10}),
        ("top_checkpoints", TopCheckpoints, {"save_top_k": 3, "monitor": "val/score", "mode": "max"}),
        ("swa", TopCheckpoints, {"save_top_k": 10, "monitor": "step", "mode": "max"}),
        ("snapshots", Snapshots, {"last": None}),
        ("mean_teacher", MeanTeacher, {"images": "test", "decay": 0.999, "evaluate": "teacher"}),
    ],
)
def test_presets_build_their_callback(name, kind, expected):
    content = yaml.safe_load(preset(name).read_text())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callbacks", type=list[pl.Callback])
    parser.add_argument("--scheduler", type=Callable[[Optimizer], LRScheduler] | None)
    given = {"callbacks": content["trainer"]["callbacks"]}
    given["scheduler"] = content.get("model", {}).get("init_args", {}).get("scheduler")
    built = parser.instantiate_classes(parser.parse_object(given))
    (callback,) = built.callbacks
    if built.scheduler is not None:
        built.scheduler(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    assert type(callback) is kind
    assert {key: getattr(callback, key) for key in expected} == expected


@pytest.mark.slow
def test_a_run_with_all_of_them(tmp_path, monkeypatch):
    """Worst batch, teacher, snapshots and top checkpoints together; resumed; averaged; predicted with."""
    monkeypatch.chdir(tmp_path)
    Nuclei(train=8, test=4).write(tmp_path / "data" / "quickstart")
    callbacks = [
        callback
        for name in ("worst_batch", "mean_teacher", "snapshots", "top_checkpoints")
        for callback in yaml.safe_load(preset(name).read_text())["trainer"]["callbacks"]
    ]
    callbacks[1]["init_args"]["batch_size"] = 2
    callbacks[0]["init_args"]["every"] = 3
    schedule = {"class_path": "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts", "init_args": {"T_0": 2}}
    both = {"model": {"init_args": {"scheduler": schedule}}, "ema": None, "trainer": {"callbacks": callbacks}}
    Path("both.yaml").write_text(yaml.safe_dump(both))
    config = str(ROOT / "configs" / "quickstart.yaml")
    assert cli.main(["folds", "--config", config, "--cv.k", "2"]) == 0
    few = [
        *("--data.batch_size", "2", "--data.num_workers", "0", "--trainer.limit_train_batches", "2", "--panels", "0"),
        *("--trainer.check_val_every_n_epoch", "1", "--trainer.log_every_n_steps", "1", "--trainer.accelerator", "cpu"),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
    ]
    for epochs, more in (("2", []), ("4", ["--ckpt_path", "last"])):
        fit = ["fit", "--config", config, "--config", "both.yaml", *few, "--trainer.max_epochs", epochs, *more]
        assert cli.main(fit) == 0
    run = Path("runs/quickstart/fold0")
    kept = sorted(path.stem for path in (run / "checkpoints").glob("*-*.ckpt"))
    assert [name for name in kept if name.startswith("snapshot")] == ["snapshot-01", "snapshot-02"]
    assert len(kept) == 5
    assert "train/consistency" in (run / "metrics.csv").read_text()

    average("average", [str(run), "--top", "3", "--device", "cpu"])
    content = torch.load(run / "checkpoints" / "average.ckpt", weights_only=True)
    assert len(content["averaged"]) == 3
    assert cli.main(["predict", str(run), "--ckpt_path", str(run / "checkpoints" / "average.ckpt"), *few[-6:]]) == 0
    assert len(list((run / "predictions" / "test").glob("*.npz"))) == 4
    load(run / "checkpoints" / "average.ckpt", device="cpu")
