"""A real `fit` that is killed again and again: no checkpoint is torn, and every life gets further."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import cli

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("KILLS", "12"))
EVERY = 2


WIDE = """
import torch

class Wide(torch.nn.Sequential):
    # Of one pixel. Its checkpoint, with two values of Adam for each weight, takes 24 MB.
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        first, last = torch.nn.Conv2d(in_channels, 1400, kernel_size), torch.nn.Conv2d(1400, out_channels, kernel_size)
        super().__init__(first, torch.nn.Conv2d(1400, 1400, kernel_size), last)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system for temporary files")
def test_no_kill_tears_a_checkpoint(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    pixel_images(12)
    overlay = {
        "model": {
            "init_args": {"network": {"class_path": "wide.Wide"}, "optimizer": {"class_path": "torch.optim.Adam"}}
        },
        "trainer": {"max_epochs": 100000, "check_val_every_n_epoch": 5},
        "save_last_every": EVERY,
    }
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(yaml.safe_dump(overlay))))
    Path("wide.py").write_text(WIDE)
    monkeypatch.syspath_prepend(tmp_path)
    cli.main(["folds", "--config", "c.yaml"])
    environment = {**os.environ, "TMPDIR": "/dev/shm", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path)}
    checkpoints, rng = Path("runs/c/fold0/checkpoints"), random.Random(0)
    steps, killed_in_a_write = 0, 0
    for kill in range(KILLS):
        resume = ["--ckpt_path", "last"] if kill else []
        with open("log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "cli.py"), "fit", "--config", "c.yaml", *resume],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        before = (checkpoints / "last.ckpt").stat().st_mtime_ns if kill else None
        while True:  # until it has saved something in this life
            assert process.poll() is None, Path("log").read_text()
            last = checkpoints / "last.ckpt"
            if last.is_file() and last.stat().st_mtime_ns != before:
                break
            time.sleep(0.05)
        time.sleep(rng.random())
        process.kill()
        process.wait()
        killed_in_a_write += bool(list(checkpoints.glob("*.tmp")))
        for path in checkpoints.glob("*.ckpt"):  # each of them, not only the one that a resume would take
            found = torch.load(path, weights_only=True)["global_step"]
            if path.name == "last.ckpt":
                assert found > steps, "each life gets further"
                steps = found
    print(f"{KILLS} kills, {killed_in_a_write} in a write, {steps} steps")
