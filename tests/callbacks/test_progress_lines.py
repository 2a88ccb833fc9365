"""Lines of progress where there is no terminal, and the end of a prediction by SIGTERM."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from torch.utils.data import DataLoader

import cli
from callbacks.progress_lines import ProgressLines

ROOT = Path(__file__).resolve().parents[2]
SLOW = """
import os, time
import torch


class Slow(torch.nn.Conv2d):
    def forward(self, x):
        if "SLOW" in os.environ and not self.training:
            open("predicting", "w").close()
            time.sleep(60)
        return super().forward(x)
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    pixel_images(9)
    Path("slow_network.py").write_text(SLOW)
    network = "{class_path: slow_network.Slow, init_args: {in_channels: 3, out_channels: 1, kernel_size: 1}}"
    overlay = f"{{model: {{init_args: {{network: {network}}}}}, trainer: {{enable_progress_bar: true}}}}"
    Path("x.yaml").write_text(yaml.safe_dump(pixel_config(overlay)))
    assert cli.main(["folds", "--config", "x.yaml"]) == 0


def test_training_and_validation_write_lines(here, monkeypatch, capsys):
    monkeypatch.setattr("callbacks.progress_lines.ProgressLines.__init__.__defaults__", (0,))
    assert cli.main(["fit", "--config", "x.yaml"]) == 0
    shown = capsys.readouterr()
    assert "it/s" not in shown.out + shown.err
    lines = [line for line in shown.err.splitlines() if " batches/s" in line]
    assert any(re.match(r"training: epoch 1/1, batch 1/3, \d+:\d\d left, \S+ batches/s", line) for line in lines)
    assert any(re.search("batch 3/3, 00:00 left.*train/loss 0", line) for line in lines)
    assert any(line.startswith("validation: batch 1/") for line in lines)


def test_a_prediction_ends_at_sigterm(here):
    assert cli.main(["fit", "--config", "x.yaml"]) == 0
    environment = os.environ | {"SLOW": "1", "PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(ROOT / "cli.py"), "predict", "runs/x/fold0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if Path("predicting").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()


class Slow(pl.LightningModule):
    """Takes 20 ms a step, and 300 ms for the first batch that it predicts."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        time.sleep(0.02)
        return self.line(batch).mean()

    def validation_step(self, batch, batch_idx):
        return None

    def predict_step(self, batch, batch_idx):
        time.sleep(0 if batch_idx else 0.3)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_the_speed_is_that_of_the_batches_since_a_validation(tmp_path, capsys):
    trainer = pl.Trainer(
        max_epochs=1,
        val_check_interval=5,
        accelerator="cpu",
        logger=False,
        callbacks=[ProgressLines(0)],
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    batches = DataLoader(torch.ones(10, 1))
    trainer.fit(Slow(), batches, batches)
    trainer.predict(Slow(), batches)
    shown = capsys.readouterr().err
    speeds = [float(speed) for speed in re.findall(r"training: .* left, (\S+) batches/s", shown)]
    assert len(speeds) == 10
    assert max(speeds) < 55
    assert float(re.search(r"predicting: batch 1/10, .* left, (\S+) batches/s", shown)[1]) < 4
