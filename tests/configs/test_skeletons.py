"""The skeleton configs on their generated sets: from folds to a scored submission, with two training steps."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

import cli
from datamodules.shapes import CLASSES, Shapes
from tests.configs.test_layouts import ROOT

SMALL = {
    "data.num_workers": 0,
    "data.batch_size": 2,
    "data.cache": "none",
    "trainer.max_steps": 2,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.enable_progress_bar": "false",
    "trainer.enable_model_summary": "false",
    "panels": 0,
}

AUGMENTATION = """[
    {class_path: albumentations.LongestMaxSize, init_args: {max_size: 64}},
    {class_path: albumentations.PadIfNeeded, init_args: {min_height: 64, min_width: 64}},
]"""


def through(name: str, layout: str, capsys: pytest.CaptureFixture, **flags: object) -> Path:
    """Every command of `run`, in this process; returns the submission, whose score is printed."""
    config = str(ROOT / "configs" / f"{name}.yaml")
    content = yaml.safe_load(Path(config).read_text())
    form = content["competition"]["submission"]["class_path"]
    output = Path("out.zip" if form.endswith("ClassImages") else "out.json")
    Shapes(layout, train=8, test=3, side=64).write(Path("data") / name)
    assert cli.main(["folds", "--config", config, "--cv.k", "2"]) == 0
    given = [part for key, value in (SMALL | flags).items() for part in (f"--{key}", str(value))]
    assert cli.main(["fit", "--config", config, *given]) == 0
    run = f"runs/{name}/fold0"
    assert cli.main(["predict", run, "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["search", run, "--processes", "1"]) == 0
    assert cli.main(["submit", run, "--output", str(output)]) == 0
    capsys.readouterr()
    assert cli.main(["score", str(output), "--config", f"{run}/config.yaml"]) == 0
    return output


@pytest.mark.slow
def test_class_masks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = through("multiclass_png", "classes", capsys)
    printed = capsys.readouterr().out
    counts = np.zeros((4, 4))
    with zipfile.ZipFile(output) as content:
        assert sorted(content.namelist()) == ["te0000.png", "te0001.png", "te0002.png"]
        for name in content.namelist():
            found = np.asarray(Image.open(io.BytesIO(content.read(name))))
            true = np.asarray(Image.open(f"data/multiclass_png/solution/{name}"))
            np.add.at(counts, (found[true < 255], true[true < 255]), 1)
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    assert f"score (IoUGlobal) {np.mean(np.diag(counts) / union):.4f} " in printed


@pytest.mark.slow
def test_coco_instances(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = through("coco_instances", "coco", capsys)
    assert "score (MaskAveragePrecision) " in capsys.readouterr().out
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO("data/coco_instances/test.json")
        entries = json.loads(output.read_text())
        found = truth.loadRes(str(output)) if entries else None
    for one in found.anns.values() if found else ():
        image = truth.imgs[one["image_id"]]
        assert found.annToMask(one).shape == (image["height"], image["width"])
        assert one["category_id"] in (1, 3, 5)


@pytest.mark.slow
def test_yolo_boxes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = {
        "class_path": "torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn",
        "init_args": {
            "num_classes": len(CLASSES) + 1,
            "weights": None,
            "weights_backbone": None,
            "min_size": 64,
            "max_size": 64,
            "box_score_thresh": 0.0,
        },
    }
    text = yaml.safe_dump(network, default_flow_style=True, width=10_000).strip()
    output = through("yolo_boxes", "yolo", capsys, **{"model.network": text, "data.augmentation": AUGMENTATION})
    assert "score (BoxAveragePrecision) " in capsys.readouterr().out
    entries = json.loads(output.read_text())
    assert entries
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO("data/yolo_boxes/test.json")
        truth.loadRes(str(output))
    assert {one["category_id"] for one in entries} <= {1, 3, 5}
