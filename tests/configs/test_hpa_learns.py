"""configs/hpa_2018.yaml learns: made-up cells in the competition's layout, 28 long-tailed classes, macro F1."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import cli
from tests.configs.test_layouts import ROOT, save, table

SIDE, IMAGES = 64, 500
COLOURS = ("red", "green", "blue", "yellow")
STAINS = [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (2, 3)]


def draw(planes: np.ndarray, number: int, random: np.random.Generator) -> None:
    """Three objects of a class: one of four shapes in one of seven stains, anywhere and any way up."""
    shape, stain = number % 4, STAINS[number // 4]
    for _ in range(3):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        x, y = (int(value) for value in random.integers(12, SIDE - 12, 2))
        if shape == 0:
            cv2.circle(mask, (x, y), 7, 1, -1)
        elif shape == 1:
            cv2.circle(mask, (x, y), 8, 1, 2)
        elif shape == 2:
            cv2.line(mask, (x - 8, y), (x + 8, y), 1, 2)
            cv2.line(mask, (x, y - 8), (x, y + 8), 1, 2)
        else:
            for dx, dy in ((-5, -5), (5, 5), (-5, 5), (5, -5)):
                cv2.circle(mask, (x + dx, y + dy), 2, 1, -1)
        for channel in stain:
            planes[channel] = np.maximum(planes[channel], mask * random.integers(150, 220))


@pytest.mark.slow
def test_macro_f1_far_above_the_prior(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    frequencies = 0.25 * 0.9 ** np.arange(28)  # from a quarter of the images down to 1.5 %
    flags = random.random((IMAGES, 28)) < frequencies
    rows = []
    for number, present in enumerate(flags):
        if not present.any():
            present[int(random.integers(28))] = True
        planes = random.integers(0, 40, (4, SIDE, SIDE)).astype(np.uint8)
        for label in random.permutation(np.flatnonzero(present)):
            draw(planes, int(label), random)
        for colour, plane in zip(COLOURS, planes, strict=True):
            save(f"data/hpa/train/{number:04}_{colour}.png", plane)
        rows.append((f"{number:04}", " ".join(map(str, np.flatnonzero(present)))))
    table("data/hpa/train.csv", ("Id", "Target"), *rows)
    config = str(ROOT / "configs/hpa_2018.yaml")
    network = yaml.safe_load(Path(config).read_text())["model"]["init_args"]["network"]
    network["init_args"] |= {"encoder": "resnet10t", "pretrained": False, "dropout": 0.0}
    augmentation = [{"class_path": "albumentations.D4", "init_args": {"p": 1.0}}]
    flags_ = {
        "model.network": yaml.safe_dump(network, default_flow_style=True).strip(),
        "model.optimizer.lr": "0.003",
        "model.inference.size": f"[{SIDE}, {SIDE}]",
        "data.augmentation": yaml.safe_dump(augmentation, default_flow_style=True).strip(),
        "data.test_images": "null",
        "data.sample_submission": "null",
        "data.cache": "ram",
        "data.num_workers": "0",
        "trainer.max_epochs": "40",
        "trainer.check_val_every_n_epoch": "40",
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": "false",
    }
    arguments = [part for key, value in flags_.items() for part in (f"--{key}", value)]
    assert cli.main(["folds", "--config", config, "--data.test_images", "null"]) == 0
    assert cli.main(["fit", "--config", config, *arguments]) == 0
    assert cli.main(["predict", "runs/hpa_2018/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["search", "runs/hpa_2018"]) == 0
    assert cli.main(["score", "runs/hpa_2018"]) == 0
    score = float(re.findall(r"out of fold: score \(FBeta\) (\d\.\d+)", capsys.readouterr().out)[-1])
    shares = flags.mean(0)
    prior = float(np.mean(2 * shares / (1 + shares)))  # every class said of every image
    print(f"macro F1 {score:.3f}, prior {prior:.3f}")
    assert score > 3 * prior
