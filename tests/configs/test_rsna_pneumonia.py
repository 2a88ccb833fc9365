"""The RSNA pneumonia config on a small tree in the competition's layout: boxes from DICOM files to a submission."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import cli
from predictions.store import PredictionStore
from tests.configs.test_layouts import ROOT, boxes_of, picture, table

CONFIG = str(ROOT / "configs" / "rsna_pneumonia.yaml")
SIDE = 64


@pytest.fixture
def rsna(tmp_path, monkeypatch):
    """Ten training and two test X-rays; every third training image has a row without a box."""
    pytest.importorskip("pydicom")
    from tests.datamodules.test_dicom import save

    monkeypatch.chdir(tmp_path)
    rows, sample = [("patientId", "x", "y", "width", "height", "Target")], [("patientId", "PredictionString")]
    for number in range(12):
        name, boxes = f"{number:08x}-patient", boxes_of(number)
        folder = "stage_2_train_images" if number < 10 else "stage_2_test_images"
        pixels = picture(number, boxes, 1, SIDE, SIDE)[..., 0]
        save(Path(f"data/rsna_pneumonia/{folder}/{name}.dcm"), pixels, Modality="CR", PatientID=name)
        if number < 10:
            own = [(name, left, top, right - left, bottom - top, 1) for top, left, bottom, right in boxes]
            rows += own or [(name, "", "", "", "", 0)]
        else:
            sample.append((name, "0.5 0 0 100 100"))
    table("data/rsna_pneumonia/stage_2_train_labels.csv", *rows)
    table("data/rsna_pneumonia/stage_2_sample_submission.csv", *sample)


def test_from_folds_to_submission(rsna, capsys):
    small = {"num_classes": 2, "weights": None, "weights_backbone": None, "min_size": SIDE, "max_size": SIDE}
    network = {"class_path": "torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn"}
    network["init_args"] = small | {"box_score_thresh": 0.0}
    crop = {"height": SIDE, "width": SIDE, "pad_if_needed": True}
    values = {
        "model.network": yaml.safe_dump(network, default_flow_style=True, width=10_000).strip(),
        "data.augmentation": f"[{{class_path: albumentations.RandomCrop, init_args: {json.dumps(crop)}}}]",
        "data.batch_size": 2,
        "data.num_workers": 0,
        "data.cache": "none",
        "trainer.accelerator": "cpu",
        "trainer.max_steps": 2,
        "trainer.log_every_n_steps": 1,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
    }
    flags = [str(part) for key, value in values.items() for part in (f"--{key}", value)]
    assert cli.main(["folds", "--config", CONFIG, "--cv.k", "2"]) == 0
    assert cli.main(["fit", "--config", CONFIG, *flags]) == 0
    run = "runs/rsna_pneumonia/fold0"
    assert cli.main(["predict", run, "--trainer.enable_progress_bar", "false"]) == 0
    store = PredictionStore.open(f"{run}/predictions/test")
    found = [store.read(image_id)["boxes"] for image_id in store.ids()]
    assert all(len(boxes) and (boxes[:, 2:4] <= SIDE + 1e-3).all() and not boxes[:, 5].any() for boxes in found)
    assert cli.main(["score", run]) == 0
    printed = re.search(r"out of fold: score \(BoxPrecision\) (\d\.\d+)", capsys.readouterr().out)
    assert np.isfinite(float(printed.group(1)))
    assert cli.main(["submit", run, "--output", "submission.csv"]) == 0
    rows = list(csv.reader(open("submission.csv")))
    assert rows[0] == ["patientId", "PredictionString"]
    assert [row[0] for row in rows[1:]] == ["0000000a-patient", "0000000b-patient"]


def test_its_detector_takes_its_arguments(capsys):
    """Parsed, not built: it would fetch ImageNet's weights."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", CONFIG, "--print_config"])
    assert ended.value.code == 0
    network = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["network"]
    assert network["class_path"].endswith("retinanet_resnet50_fpn_v2")
    given = yaml.safe_load(Path(CONFIG).read_text())["model"]["init_args"]["network"]["init_args"]
    assert {key: network["init_args"][key] for key in given} == given | {"weights_backbone": "IMAGENET1K_V2"}
