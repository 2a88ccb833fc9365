"""Detection from YAML: boxes in, augmented on both sides, scored in validation, stored, tuned, submitted."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import cli
from experiments import load
from predictions.store import PredictionStore

DETECTOR = '''
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign


def small_faster_rcnn(classes: int = 3, side: int = 64) -> FasterRCNN:
    """Faster R-CNN on three strided blocks: seconds of training on a CPU."""

    def block(before, after):
        return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU())

    backbone = nn.Sequential(block(3, 16), block(16, 32), block(32, 32))
    backbone.out_channels = 32
    return FasterRCNN(
        backbone, min_size=side, max_size=side,
        rpn_anchor_generator=AnchorGenerator(((12, 18, 26),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2), box_head=TwoMLPHead(32 * 25, 64),
        box_predictor=FastRCNNPredictor(64, classes), box_detections_per_img=20,
        rpn_pre_nms_top_n_train=100, rpn_post_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=100, rpn_post_nms_top_n_test=30,
    )
'''
CONFIG = """
model:
  class_path: lightning_modules.DetectionModule
  init_args:
    network: {class_path: our_detectors.small_faster_rcnn}
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.004}}
    inference: {class_path: inference.Inference, init_args: {tta: hflip}}
    augmentation:
      - {class_path: augmentations.Geometry, init_args: {hflip: 0.5, translate: 0.1, border: reflect}}
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: train/*.png
    test_images: test/*.png
    sample_submission: sample.csv
    targets:
      - {class_path: datamodules.targets.Boxes, init_args: {path: coco.json, kind: coco, classes: [bright, dark]}}
    batch_size: 8
    samples_per_image: 4
    num_workers: 0
    cache: ram
    augmentation:
      - {class_path: albumentations.D4, init_args: {p: 1.0}}
cv: {k: 2}
competition:
  metric: {class_path: evaluation.metrics.BoxAveragePrecision, init_args: {classes: 2}}
  postprocess:
    - {class_path: postprocessing.NonMaximumSuppression, init_args: {iou: 0.5}}
    - {class_path: postprocessing.MinimumScore, init_args: {value: 0.05}}
  submission: {class_path: submissions.Boxes, init_args: {classes: 2}}
trainer:
  max_epochs: 5
  accelerator: cpu
  log_every_n_steps: 4
  check_val_every_n_epoch: 5
  enable_progress_bar: false
  enable_model_summary: false
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Gray noise with up to two bright or dark rectangles; every fifth picture is empty."""
    coco = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "bright"}, {"id": 9, "name": "dark"}]}
    for folder in ("train", "test"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(36):
        random = np.random.default_rng(number)
        pixels, name = random.normal(120, 8, (64, 64, 3)), f"{number:02d}.png"
        if number < 32:
            coco["images"].append({"id": number, "file_name": name})
        for left in (0, 32)[: random.integers(1, 3) if number % 5 else 0]:
            kind, width, height = random.integers(2), *(int(side) for side in random.integers(14, 28, 2))
            x, y = left + int(random.integers(32 - width)), int(random.integers(64 - height))
            pixels[y : y + height, x : x + width] += -90 if kind else 90
            if number < 32:
                box = {"id": len(coco["annotations"]), "image_id": number, "category_id": 9 if kind else 7}
                coco["annotations"].append(box | {"bbox": [x, y, width, height]})
        cv2.imwrite(str(tmp_path / "data" / ("train" if number < 32 else "test") / name), pixels.clip(0, 255))
    (tmp_path / "data/coco.json").write_text(json.dumps(coco))
    rows = [("image_id", "PredictionString"), *((f"{number:02d}", "") for number in range(32, 36))]
    with open(tmp_path / "data/sample.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    (tmp_path / "our_detectors.py").write_text(DETECTOR)
    (tmp_path / "boxes.yaml").write_text(CONFIG)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_boxes_to_a_submission(here, capsys):
    assert cli.main(["folds", "--config", "boxes.yaml"]) == 0
    assert cli.main(["fit", "--config", "boxes.yaml"]) == 0
    assert cli.main(["predict", "runs/boxes/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    said = capsys.readouterr().out
    assert "loss     computed by the network" in said
    rows = list(csv.DictReader(open("runs/boxes/fold0/metrics.csv")))
    assert {"train/loss_box_reg", "train/loss_objectness", "val/score_dark"} <= {row["name"] for row in rows}
    assert float([row["value"] for row in rows if row["name"] == "val/score"][-1]) > 0.3  # chance: below 0.05
    assert len(list(Path("runs/boxes/fold0/panels").glob("*.png"))) == 2
    store = PredictionStore.open("runs/boxes/fold0/predictions/test")
    found = {image_id: store.read(image_id)["boxes"] for image_id in store.ids()}
    assert all(boxes.shape[1:] == (6,) and boxes.dtype == np.float32 for boxes in found.values())
    picture = cv2.imread("data/test/33.png")[..., ::-1]
    np.testing.assert_allclose(load("runs/boxes/fold0")(picture)["boxes"], found["33"], atol=1e-3)

    assert cli.main(["search", "runs/boxes"]) == 0
    assert cli.main(["score", "runs/boxes"]) == 0
    assert float(re.findall(r"score \(BoxAveragePrecision\) (\d\.\d+)", capsys.readouterr().out)[-1]) > 0.3
    assert cli.main(["submit", "runs/boxes"]) == 0
    table = list(csv.DictReader(open("runs/boxes/submission.csv")))
    assert [row["image_id"] for row in table] == ["32", "33", "34", "35"]
    assert any(len(row["PredictionString"].split()) >= 6 for row in table)
    assert cli.main(["report", "runs/boxes"]) == 0
    assert Path("runs/boxes/report/worst.png").is_file()
    with pytest.raises(
        SystemExit, match="data.targets contains boxes; pseudo supports masks and image-level labels only"
    ):
        cli.main(["pseudo", "runs/boxes"])
