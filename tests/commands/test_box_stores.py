"""Stores of boxes through the offline verbs: scored out of fold, submitted, and scored again from the file."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from commands.command_line.config import read_config
from commands.ensemble import main as ensemble
from commands.report import main as report
from evaluation.folds import folds_hash, read_folds
from predictions.store import PredictionStore

SIZE = (80, 100)
TRUE = {
    "a": [[10, 10, 40, 50], [50, 20, 90, 60]],
    "b": [],
    "c": [[0, 0, 30, 30]],
    "d": [[20, 30, 60, 70]],
}
# every box found with an IoU of 0.81; `b` is right to have none, `d` is missed
FOUND = {
    "a": [[10, 10, 37, 46, 0.9, 0], [50, 20, 86, 56, 0.8, 0]],
    "b": [],
    "c": [[0, 0, 27, 27, 0.7, 0]],
    "d": [[0, 0, 10, 10, 0.6, 0]],
}
KINDS = {
    "vin": {
        "columns": ["image_id", "x_min", "y_min", "x_max", "y_max"],
        "target": {"columns": ["x_min", "y_min", "x_max", "y_max"]},
        "metric": {"class_path": "evaluation.metrics.BoxAveragePrecision", "init_args": {"classes": 2, "nothing": 1}},
        "submission": {"classes": 2, "empty": "1 1 0 0 1 1"},
        # of class 0 three of four, no other before them; of class 1 the one image without a finding
        "score": (0.75 + 1) / 2,
    },
    "rsna": {
        "columns": ["patientId", "x", "y", "width", "height"],
        "target": {"layout": "xywh", "id_column": "patientId"},
        "metric": {"class_path": "evaluation.metrics.BoxPrecision"},
        "submission": {"layout": "xywh", "id_column": "patientId"},
        # every threshold up to .75 for a and c, none for d; b is left out
        "score": 2 / 3,
    },
}


def store(path, ids):
    made = PredictionStore(path)
    made.begin(ids, "f")
    for image_id in ids:
        made.write(image_id, {"boxes": np.array(FOUND[image_id], np.float32).reshape(-1, 6)})
    made.finish()


@pytest.fixture(params=list(KINDS))
def kind(request, tmp_path, monkeypatch):
    """An experiment of two folds whose test images are its training images, and the kind's expected score."""
    monkeypatch.chdir(tmp_path)
    facts = KINDS[request.param]
    Path("data/images").mkdir(parents=True)
    for image_id in TRUE:
        cv2.imwrite(f"data/images/{image_id}.png", np.zeros(SIZE, np.uint8))
    rows = [[image_id, *box] for image_id, boxes in TRUE.items() for box in boxes or [[""] * 4]]
    if request.param == "rsna":
        rows = [[i, x, y, x2 and x2 - x, y2 and y2 - y] for i, x, y, x2, y2 in rows]
    pd.DataFrame(rows, columns=facts["columns"]).to_csv("data/train.csv", index=False)
    pd.DataFrame([(i, n % 2, i) for n, i in enumerate(TRUE)], columns=["image_id", "fold", "group"]).to_csv(
        "folds.csv", index=False
    )
    submission = {"class_path": "submissions.Boxes", "init_args": facts["submission"]}
    target = {"path": "train.csv", "kind": "csv"} | facts["target"]
    data = {"root": "data", "images": "images/*.png", "test_images": "images/*.png", "folds": "folds.csv"}
    data["targets"] = [{"class_path": "datamodules.targets.Boxes", "init_args": target}]
    for fold in (0, 1):
        run = Path(f"runs/c/fold{fold}")
        store(run / "predictions/val", [image_id for n, image_id in enumerate(TRUE) if n % 2 == fold])
        store(run / "predictions/test", list(TRUE))
        content = {
            "data": {"class_path": "datamodules.ImageDataModule", "init_args": data | {"fold": fold}},
            "competition": {"metric": facts["metric"], "submission": submission},
        }
        (run / "config.yaml").write_text(yaml.safe_dump(content))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))
    return facts


def printed(capsys):
    return float(re.search(r"score \(\w+\) (\d\.\d+)", capsys.readouterr().out).group(1))


def test_the_score_out_of_fold_is_that_of_the_file(kind, capsys):
    cli.main(["score", "runs/c"])
    assert printed(capsys) == pytest.approx(kind["score"], abs=1e-4)
    cli.main(["submit", "runs/c/fold0", "--output", "s.csv"])
    capsys.readouterr()
    with open("s.csv", newline="") as handle:
        assert [row[0] for row in csv.reader(handle)][1:] == list(TRUE)
    header, first = kind["submission"].get("id_column", "image_id"), ["0"] if "classes" in kind["submission"] else []
    plain = "layout" not in kind["submission"]
    with open("truth.csv", "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow([header, "PredictionString"])
        for image_id, boxes in TRUE.items():
            sides = [(x, y, *((x2, y2) if plain else (x2 - x, y2 - y))) for x, y, x2, y2 in boxes]
            words = [str(word) for side in sides for word in (*first, 1, *side)]
            rows.writerow([image_id, " ".join(words) or kind["submission"].get("empty", "")])
    cli.main(["score", "s.csv", "--config", "runs/c/fold0/config.yaml", "--solution", "truth.csv"])
    assert printed(capsys) == pytest.approx(kind["score"], abs=1e-4)
    lines = Path("s.csv").read_text().splitlines()
    Path("s.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(SystemExit, match=r"s\.csv has no row for 1 of 4 images of truth\.csv, first 'd'"):
        cli.main(["score", "s.csv", "--config", "runs/c/fold0/config.yaml", "--solution", "truth.csv"])


@pytest.mark.parametrize("rule", ["wbf", "nmw", "nms", "soft_nms", "general"])
def test_the_folds_boxes_are_merged_before_they_are_submitted(kind, rule, capsys):
    with pytest.raises(SystemExit, match="cannot be averaged over 2 folds.*python cli.py ensemble runs/c --boxes"):
        cli.main(["submit", "runs/c", "--output", "s.csv"])
    assert not Path("s.csv").exists()
    ensemble(["runs/c", "--boxes", "[boxes]", "--box_rule", rule, "--output", "runs/merged", "--processes", "1"])
    capsys.readouterr()
    cli.main(["score", "runs/merged"])
    assert printed(capsys) == pytest.approx(kind["score"], abs=1e-4)
    cli.main(["submit", "runs/merged", "--output", "s.csv"])
    cli.main(["submit", "runs/c/fold0", "--output", "one.csv"])
    made = read_config("submit", ["runs/merged"]).competition.submission
    sizes = dict.fromkeys(TRUE, SIZE)
    again, alone = (made.read(Path(name), sizes) for name in ("s.csv", "one.csv"))
    for image_id in TRUE:  # both folds' stores hold the same
        np.testing.assert_allclose(again[image_id]["boxes"], alone[image_id]["boxes"], atol=1e-4)


@pytest.mark.parametrize("folder", ["runs/c", "runs/c/fold0"])
def test_the_report_draws_boxes(kind, folder):
    lone = PredictionStore("runs/c/fold1/predictions/test")  # as two detectors are: other numbers of boxes
    lone.write("a", {"boxes": np.array(FOUND["c"], np.float32)})
    report([folder])
    made = Path("runs/c/report")
    assert "Worst images" in (made / "report.html").read_text()
    assert len((made / "worst.png").read_bytes()) > 1000
