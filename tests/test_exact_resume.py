"""A training that is interrupted at any step and resumed equals the unbroken one bit for bit."""

import os
import random
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

import cli


class Net(torch.nn.Sequential):
    """A network of one pixel with batch norm and dropout."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        first, last = torch.nn.Conv2d(in_channels, 4, kernel_size), torch.nn.Conv2d(4, out_channels, kernel_size)
        super().__init__(first, torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), last)


class Crash(BaseException):
    """An end without any chance to save something, as by SIGKILL."""


class Watch(pl.Callback):
    """Records the images of each batch with the loss, and ends the process at a batch."""

    seen: list[tuple]  # of all instances
    end: int | None
    signal: int | None

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        Watch.seen.append((trainer.current_epoch, batch_idx, tuple(batch["image_id"]), outputs["loss"].item()))
        if len(Watch.seen) == Watch.end:
            if Watch.signal is not None:
                os.kill(os.getpid(), Watch.signal)
                return
            raise Crash


def watched(end=None, by=None):
    """The batches of the next training, which ends at one of them, by a crash or a signal."""
    Watch.seen, Watch.end, Watch.signal = [], end, by
    return Watch.seen


def draw_settings(number: int) -> dict:
    """A config drawn at random: the settings that an exact resume has to survive."""
    rng = random.Random(number)
    accumulate = rng.choice([1, 1, 3])
    data = {
        "num_workers": rng.choice([0, 0, 2]),
        "samples_per_image": rng.choice([1, 2]),
        "augmentation": rng.choice([[], [{"class_path": "augmentations.Geometry", "init_args": {"d4": 1.0}}]]),
    }
    if rng.random() < 0.4:
        data["sampler"] = {"class_path": "datamodules.samplers.PositiveRate", "init_args": {"rate": 0.5}}
    model = {
        "network": {"class_path": f"{__name__}.Net"},
        "augmentation": rng.choice([[], [{"class_path": "augmentations.Colour", "init_args": {"brightness": 0.3}}]]),
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
        "scheduler": rng.choice([None, {"class_path": "lightning_modules.WarmupCosine"}]),
    }
    return {
        "model": {"init_args": model},
        "data": {"init_args": data},
        "trainer": {
            "max_epochs": 3,
            "accumulate_grad_batches": accumulate,
            "val_check_interval": rng.choice([1.0, 2, 3]),
            "callbacks": [{"class_path": f"{__name__}.Watch"}],
            "log_every_n_steps": 1,
        },
        "ema": rng.choice([None, {"decay": 0.9}]),
        "early_stopping": rng.choice([None, {"patience": 50}]),
        "save_last_every": rng.choice([1, 2]),
        "end": rng.random(),
    }


def state_of(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def equal(one, other, where="") -> None:
    """Nested states are equal bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            equal(*pair, f"{where}[{number}]")
    else:
        assert one == other, where


@pytest.mark.parametrize(
    "number", [*range(6), *(pytest.param(number, marks=pytest.mark.slow) for number in range(6, 56))]
)
def test_weights_optimizer_and_samples_are_those_of_the_unbroken_run(
    number, tmp_path, monkeypatch, pixel_config, pixel_images
):
    monkeypatch.chdir(tmp_path)
    pixel_images(12)
    for empty in range(5):
        cv2.imwrite(f"data/masks/p{empty}.png", np.zeros((8, 8), np.uint8))
    drawn = draw_settings(number)
    share = drawn.pop("end")
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(yaml.safe_dump(drawn))))
    cli.main(["folds", "--config", "c.yaml"])

    whole = watched()
    cli.main(["fit", "--config", "c.yaml", "--experiment", "whole"])
    end = 1 + int(share * (len(whole) - 1))
    cut = watched(end)
    with pytest.raises(Crash):
        cli.main(["fit", "--config", "c.yaml", "--experiment", "cut"])
    assert cut == whole[:end]

    run = Path("runs/cut/fold0")
    last = run / "checkpoints" / "last.ckpt"
    first = 0
    resume = []
    if last.is_file():
        batches = state_of(run)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]
        first, resume = batches, ["--ckpt_path", "last"]
    else:
        resume = ["--overwrite", "true"]
    rest = watched()
    cli.main(["fit", "--config", "c.yaml", "--experiment", "cut", *resume])
    assert rest == whole[first:]
    one, other = state_of(Path("runs/whole/fold0")), state_of(run)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "current_model_state", "averaging_state"):
        equal(one.get(key), other.get(key), key)
    lost = end - first
    assert 0 <= lost <= drawn["save_last_every"] * drawn["trainer"]["accumulate_grad_batches"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_after_its_step_with_a_checkpoint(
    number, status, tmp_path, monkeypatch, pixel_config, pixel_images
):
    monkeypatch.chdir(tmp_path)
    pixel_images(12)
    callbacks = [{"class_path": f"{__name__}.Watch"}]
    overlay = {"trainer": {"max_epochs": 3, "accumulate_grad_batches": 3, "callbacks": callbacks}}
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(yaml.safe_dump(overlay))))
    cli.main(["folds", "--config", "c.yaml"])
    whole = watched()
    cli.main(["fit", "--config", "c.yaml", "--experiment", "whole"])
    before = signal.getsignal(signal.SIGINT)
    cut = watched(6, number)
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", "c.yaml", "--experiment", "cut"])
    assert ended.value.code == status
    assert signal.getsignal(signal.SIGINT) is before
    assert len(cut) == 6
    rest = watched()
    cli.main(["fit", "--config", "c.yaml", "--experiment", "cut", "--ckpt_path", "last"])
    assert cut + rest == whole
    equal(state_of(Path("runs/whole/fold0"))["optimizer_states"], state_of(Path("runs/cut/fold0"))["optimizer_states"])


def test_a_signal_ends_a_trial_of_a_few_batches(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    pixel_images(12)
    overlay = {"trainer": {"callbacks": [{"class_path": f"{__name__}.Watch"}]}}
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(yaml.safe_dump(overlay))))
    cli.main(["folds", "--config", "c.yaml"])
    cut = watched(1, signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", "c.yaml", "--trainer.fast_dev_run", "3"])
    assert (ended.value.code, len(cut)) == (143, 1)
