"""The CT config on real slices: three windows of three slices learn the organs by heart."""

from pathlib import Path

import numpy as np
import pytest

import cli
from commands.command_line.config import read_config
from datamodules.table import rows_of
from experiments import load

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "ct_organs.yaml")


@pytest.mark.slow
def test_organs_of_twenty_slices(competition_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--data.root", str(competition_data / "ct_totalseg"), "--data.fold", "all", "--data.num_workers", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "10", "--trainer.accelerator", "cpu"]
    assert cli.main(["fit", "--config", CONFIG, *small, *quiet]) == 0
    network = load("runs/ct_organs/all")
    data = read_config("score", ["runs/ct_organs/all"]).data
    counts = np.zeros((6, 2))
    for row in rows_of(data.table()):
        image, truth = data.reader.read(row), data.target_arrays(row)["mask"]
        assert image.shape == (512, 512, 9)
        found = network(image)["mask"].argmax(0)
        for number in range(6):
            counts[number] += (
                2 * ((found == number) & (truth == number)).sum(),
                (found == number).sum() + (truth == number).sum(),
            )
    dice = counts[:, 0] / counts[:, 1]
    assert dice[1:4].min() > 0.9, dice  # liver, spleen, stomach
    assert dice[1:].mean() > 0.9, dice
