"""The first training batch is drawn once, as the network sees it; `explore --augmented` draws the same."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import cli
from files.png import read_png

OVERLAY = """
model: {init_args: {augmentation: [{class_path: augmentations.Geometry, init_args: {vflip: 1.0, rotate: 45.0}}]}}
data: {init_args: {fold: 0, augmentation: [{class_path: albumentations.RandomBrightnessContrast, init_args: {p: 1.0}}]}}
trainer: {max_epochs: 2}
panels: 2
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    monkeypatch.chdir(tmp_path)
    pixel_images(6, side=16)
    Path("x.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    assert cli.main(["folds", "--config", "x.yaml"]) == 0


def test_explore_draws_what_fit_draws_without_training(here, capsys):
    assert cli.main(["explore", "--config", "x.yaml", "--augmented", "true"]) == 0
    assert "drawn: runs/x/explore/train_batch.png" in capsys.readouterr().out
    assert [path.name for path in Path("runs/x/explore").iterdir()] == ["train_batch.png"]
    assert not Path("runs/x/fold0").exists()
    assert cli.main(["fit", "--config", "x.yaml"]) == 0
    assert {path.name for path in Path("runs/x/fold0/panels").iterdir()} == {
        "train_batch.png", "epoch_000.png", "epoch_001.png",
    }  # fmt: skip
    one, other = (read_png(f"runs/x/{folder}/train_batch.png") for folder in ("explore", "fold0/panels"))
    np.testing.assert_array_equal(one, other)
    assert (
        cli.main(
            ["explore", "runs/x/fold0", "--augmented", "true", "--output", "plain", "--model.augmentation", "null"]
        )
        == 0
    )
    assert (read_png("plain/train_batch.png") != one).any()


def test_no_panel_without_panels(here):
    assert cli.main(["fit", "--config", "x.yaml", "--panels", "0"]) == 0
    assert not Path("runs/x/fold0/panels").exists()
