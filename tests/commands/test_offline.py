"""Verbs that work on files start without torch and Lightning."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.run_folder import RunFolder
from predictions.store import PredictionStore

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: images/*.png
    test_images: images/*.png
    batch_size: 4
    augmentation: [{class_path: albumentations.HorizontalFlip}]
    targets: [{class_path: datamodules.targets.MaskFiles, init_args: {pattern: "masks/{image_id}.png"}}]
    folds: folds.csv
competition:
  metric: {class_path: evaluation.DicePerImage}
  postprocess:
    - {class_path: postprocessing.Threshold}
    - {class_path: postprocessing.MinimumArea, init_args: {pixels: 3}}
  submission: {class_path: submissions.RunLengths}
cv: {k: 2}
"""
CODE = """
import json, sys
import cli
cli.main(sys.argv[1:])
print(json.dumps(sorted({"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning"} & set(sys.modules))))
"""


def run(*arguments: str) -> str:
    """Output of a verb in a process of its own, which must not have imported torch."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False, env=None,
        cwd=Path.cwd(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *output, heavy = done.stdout.strip().splitlines()
    assert json.loads(heavy) == [], arguments
    return "\n".join(output)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two images, a run of each fold with its predictions, out of fold and of the test images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    masks = {}
    for name in "ab":
        masks[name] = np.zeros((16, 16), np.uint8)
        masks[name][4:12, 4:12] = 255
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(f"data/images/{name}.png")
        Image.fromarray(masks[name]).save(f"data/masks/{name}.png")
    Path("c.yaml").write_text(CONFIG)
    return masks


def test_folds_search_score_and_submit_leave_torch_alone(here):
    assert "2 of 2 images in 2 folds" in run("folds", "--config", "c.yaml", "--data.batch_size", "8")
    rows = dict(line.split(",")[:2] for line in Path("folds.csv").read_text().splitlines()[1:])
    for name, fold in rows.items():
        folder = RunFolder(f"runs/c/fold{fold}")
        folder.path.mkdir(parents=True)
        folder.config.write_text(CONFIG.replace("folds.csv", f"folds.csv\n    fold: {fold}") + "experiment: c\n")
        for split, ids in (("val", [name]), ("test", ["a", "b"])):
            store = PredictionStore(folder.predictions / split)
            for image_id in store.begin(ids, "test"):
                store.write(image_id, {"mask": here[image_id][None] / np.float32(255)}, dtype="float16")
            store.finish()
    assert "before        1.00000" in run("search", "runs/c", "--processes", "1")
    assert "score (DicePerImage) 1.0000" in run("score", "runs/c")
    assert "2 images, mean of 2 folds" in run("submit", "runs/c")


@pytest.mark.parametrize("verb", ["folds", "search", "score", "submit", "ensemble", "tune", "compare", "run"])
def test_help_leaves_torch_alone(verb, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = CODE.replace("cli.main(sys.argv[1:])", "\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass")
    done = subprocess.run([sys.executable, "-c", code, verb, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
