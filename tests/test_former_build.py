"""A run folder of the build before the folders moved: it is predicted, resumed, searched, scored and submitted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cli

FORMER = Path(__file__).resolve().parent / "fixtures" / "former_build"


@pytest.fixture(scope="module")
def _untouched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    shutil.copytree(FORMER, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture
def former(_untouched, monkeypatch):
    monkeypatch.chdir(_untouched)
    return _untouched


pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_its_stores_are_scored_and_submitted_as_they_were(former, capsys):
    expected = (former / "runs/former/submission.csv").read_text()
    cli.main(["score", "runs/former"])
    assert "score (DicePerImage) 0.9887" in capsys.readouterr().out
    cli.main(["submit", "runs/former", "--output", "again.csv"])
    assert Path("again.csv").read_text() == expected


def test_load_takes_its_checkpoint(former):
    from PIL import Image

    from experiments import load

    image = np.asarray(Image.open("data/train/images/train1.png"))
    found = load("runs/former/fold0")(image)["mask"]
    with np.load("runs/former/fold0/predictions/val/train1.npz") as stored:
        assert len(stored.files)
    assert found.shape == (1, 64, 64)
    truth = np.asarray(Image.open("data/train/masks/train1.png")) > 0
    assert ((found[0] > 0.5) == truth).mean() > 0.9


def test_it_predicts_and_goes_on_training(former, capsys):
    cli.main(["predict", "runs/former/fold0"])
    cli.main(["score", "runs/former/fold0"])
    out = capsys.readouterr().out
    arguments = ["--config", "former.yaml", "--data.fold", "0", "--trainer.max_epochs", "5", "--panels", "0"]
    cli.main(["fit", *arguments, "--ckpt_path", "last"])
    epochs = pd.read_csv("runs/former/fold0/metrics.csv")["epoch"]
    assert "score (DicePerImage)" in out
    assert epochs.max() == 4
    cli.main(["predict", "runs/former"])
    cli.main(["search", "runs/former", "--processes", "1"])
    cli.main(["submit", "runs/former", "--output", "new.csv"])
    assert Path("new.csv").read_text().startswith("ImageId,EncodedPixels")
