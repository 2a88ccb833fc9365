"""What a user reads when a command ends with an error."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from commands.command_line.errors import format_error
from compat.jsonargparse import cause_first
from datamodules.dataset import EvaluationDataset
from datamodules.decoder import Decoder
from datamodules.parallel import in_processes
from datamodules.readers import ImageReader
from datamodules.table import find_images
from files.paths import confined

ROOT = Path(__file__).resolve().parents[3]


def text_of(call):
    try:
        call()
    except Exception as error:
        return format_error(error)
    raise AssertionError("nothing was raised")


def test_the_cause_comes_first_and_then_its_place():
    first, second = text_of(lambda: confined("data", "../x.png")).splitlines()
    assert first == "error: '../x.png' is outside data; ids and paths must be relative, without '..'"
    assert second.startswith("  raised in files/paths.py, line ")
    assert "TRACEBACK=1" in second


def test_notes_stand_below_the_cause():
    error = text_of(lambda: list(noted()))
    assert error.splitlines()[1] == "  while post-processing image 'a'"
    assert "in a worker" not in error


def noted():
    try:
        confined("data", "../x.png")
    except ValueError as error:
        error.add_note("while post-processing image 'a'")
        error.add_note("in a worker:\nTraceback …")
        raise
    yield


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    assert text_of(lambda: int("x")) is None
    assert text_of(lambda: np.zeros(2).reshape(3)) is None
    assert text_of(lambda: confined(None, "a.png")) is None  # raised inside pathlib
    monkeypatch.setenv("TRACEBACK", "1")
    assert text_of(lambda: confined("data", "../x.png")) is None


@pytest.mark.parametrize("workers", [0, 1])
def test_the_cause_in_a_loaders_worker(tmp_path, workers):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    dataset = EvaluationDataset(find_images(tmp_path, "*.png"), Decoder(ImageReader(), []), [], [])
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    first, second = text_of(lambda: list(loader)).splitlines()
    assert first.startswith(f"error: {tmp_path}/a.png is damaged: ")
    assert second.startswith("  raised in datamodules/readers/images_pillow.py, line ")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cause_in_a_process_that_reads_files(tmp_path, workers):
    items = ["../x.png", "../y.png"]
    first, second = text_of(lambda: list(in_processes(partial(confined, "data"), items, workers))).splitlines()
    assert first == "error: '../x.png' is outside data; ids and paths must be relative, without '..'"
    assert second.startswith("  raised in files/paths.py, line ")
    assert text_of(lambda: list(in_processes(int, ["x", "y"], workers))) is None


def test_on_the_command_line(tmp_path):
    """Nothing but the cause, and no traceback; the whole of it for who asks."""
    (tmp_path / "config.yaml").write_text(
        "data: {class_path: datamodules.ImageDataModule, init_args: {root: nowhere, images: '*.png', targets: []}}\n"
        "competition: {metric: {class_path: evaluation.metrics.DicePerImage}}\n"
    )
    command = [sys.executable, str(ROOT / "cli.py"), "folds", "--config", "config.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: no images: nowhere does not exist; check data.root and data.images"
    assert len(done.stderr.splitlines()) == 2
    shown = os.environ | {"TRACEBACK": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=shown)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("FileNotFoundError: no images: nowhere")


def test_a_verbs_own_last_word_has_its_traceback_too(tmp_path):
    (tmp_path / "a.csv").write_text("image_id,x\n1,2\n")
    command = [sys.executable, str(ROOT / "cli.py"), "adversarial", "--train", "a.csv", "--test", "b.csv"]
    for wanted, begin in (("0", "error: "), ("1", "Traceback")):
        settings = {"cwd": tmp_path, "env": os.environ | {"TRACEBACK": wanted}}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
        assert done.returncode == 1
        assert done.stderr.startswith(begin), done.stderr


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("unrecognized arguments: --trainer.max_epoch 3", "did you mean 'trainer.max_epochs'?"),
        ("unrecognized arguments: --modl.loss bce", "did you mean 'model.loss'?"),
        ("Subcommand 'fit' does not accept option 'trainr.max_epochs'", "did you mean 'trainer.max_epochs'?"),
        (
            "Problem with given class_path 'datamodules.ImageDataModule':\n  Option 'bach_size' is not accepted",
            "did you mean 'batch_size'?",
        ),
        ("module 'datamodules' has no attribute 'ImagDataModule'", "did you mean 'ImageDataModule'?"),
        (
            "Problem with given class_path 'a.B':\n"
            "  Problem with given class_path 'segmentation_models_pytorch.UNet':\n"
            "    module 'segmentation_models_pytorch' has no attribute 'UNet'",
            "did you mean 'Unet'?",
        ),
        ("unrecognized arguments: --colour red", "error: unrecognized arguments: --colour red"),
    ],
)
def test_the_nearest_name_stands_on_the_first_line(message, first):
    assert cause_first(message, ["trainer.max_epochs", "model", "data.help"]).splitlines()[0].endswith(first)
