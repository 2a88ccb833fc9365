"""`report` on stores that are written here."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from evaluation.folds import folds_hash, read_folds
from predictions.store import PredictionStore

TRAIN, TEST, SIDE = [f"t{n:02}" for n in range(12)], [f"u{n}" for n in range(6)], 48


def disc(seed, radius):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    row, column = np.random.default_rng(seed).integers(16, 32, 2)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def store(folder, masks):
    made = PredictionStore(folder)
    made.begin(sorted(masks), fingerprint="x")
    for name, mask in masks.items():
        blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1)
        blurred[0, 0] = 0.9  # a speck, which the chain takes away
        made.write(name, {"mask": blurred[None]})
    made.finish()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = {name: disc(number, 5 + number % 3) for number, name in enumerate(TRAIN)}
    tested = {name: disc(50 + number, 6) for number, name in enumerate(TEST)}
    tested["u0"] = np.ones((SIDE, SIDE), bool)  # the network fills a whole picture
    for folder in ("train", "test", "masks"):
        Path("data", folder).mkdir(parents=True)
    for name, mask in (truth | tested).items():
        cv2.imwrite(f"data/{'train' if name in truth else 'test'}/{name}.png", (60 + 120 * mask).astype(np.uint8))
        if name in truth:
            cv2.imwrite(f"data/masks/{name}.png", (255 * mask).astype(np.uint8))
    rows = [(name, number % 2, name) for number, name in enumerate(TRAIN)]
    pd.DataFrame(rows, columns=["image_id", "fold", "group"]).to_csv("folds.csv", index=False)
    targets = [{"class_path": "datamodules.targets.MaskFiles", "init_args": {"pattern": "masks/{image_id}.png"}}]
    data = {"root": "data", "images": "train/*.png", "test_images": "test/*.png", "folds": "folds.csv"}
    chain = [
        {"class_path": "postprocessing.Threshold"},
        {"class_path": "postprocessing.MinimumArea", "init_args": {"pixels": 20}},
    ]
    for fold in range(2):
        config = {
            "experiment": "a",
            "data": {
                "class_path": "datamodules.ImageDataModule",
                "init_args": data | {"targets": targets, "fold": fold},
            },
            "competition": {"metric": {"class_path": "evaluation.metrics.DicePerImage"}, "postprocess": chain},
        }
        run = Path(f"runs/a/fold{fold}")
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))
        (run / "metrics.csv").write_text("stage,step,name,value\nfit,1,train/loss,2.0\nfit,2,val/score,0.5\n")
        held = [name for number, name in enumerate(TRAIN) if number % 2 == fold]
        store(run / "predictions" / "val", {name: truth[name] for name in held})
        store(run / "predictions" / "test", tested)


def test_the_page_says_what_the_stores_hold(here, capsys):
    cli.main(["report", "runs/a", "--images", "2"])
    page = Path("runs/a/report/report.html").read_text()
    for section in ("Folds", "Training", "Scores", "Probabilities", "Post-processing", "Sanity", "Images"):
        assert f">{section}</h2>" in page
    score = float(re.search(r"DicePerImage <b>([\d.]+)</b>", page).group(1))
    assert score > 0.9
    assert "over 12 images of 2 runs" in page
    assert "fold1" in page
    row = re.search(r"MinimumArea</td><td class=\"number\">([\d.]+)</td><td class=\"number\">([\d.]+)", page)
    assert float(row.group(1)) < score  # without it the speck stays
    assert float(row.group(2)) == pytest.approx(score - float(row.group(1)), abs=2e-4)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert pd.read_csv("runs/a/report/outliers.csv")["image_id"].tolist() == ["u0"]
    assert (Path("runs/a/report") / "worst.png").stat().st_size > 1000
    assert not list(Path("runs/a/report").glob("*.tmp"))
    assert "report: runs/a/report/report.html" in capsys.readouterr().out


def test_unusual_predictions_out_of_fold_are_shown_beside_their_target(here, capsys):
    path = Path("runs/a/fold0/predictions/val")
    masks = {name: PredictionStore.open(path).read(name)["mask"][0] > 0.5 for name in PredictionStore.open(path).ids()}
    store(path, masks | {"t04": np.ones((SIDE, SIDE), bool)})
    cli.main(["report", "runs/a", "--images", "2"])
    found = pd.read_csv("runs/a/report/outliers.csv")
    assert found[["set", "image_id"]].to_numpy().tolist() == [["out of fold", "t04"], ["test", "u0"]]
    assert found["share of the image"].tolist() == [1, 1]
    assert found["objects"].tolist() == [1, 1]
    assert (found["deviations"] > 4).all()
    page = Path("runs/a/report/report.html").read_text()
    assert "Unusual out-of-fold predictions" in page
    assert "Test images with far more or fewer" in page
    assert (Path("runs/a/report") / "unusual.png").stat().st_size > 1000
    assert "2 predictions with far more or less foreground than the targets" in capsys.readouterr().out


def test_a_run_on_all_rows_has_its_test_predictions_looked_at(here):
    """Nothing is out of fold: what the test images hold is compared with the truth of all training images."""
    shutil.rmtree("runs/a/fold1")
    Path("runs/a/fold0").rename("runs/a/all")
    content = yaml.safe_load(Path("runs/a/all/config.yaml").read_text())
    content["data"]["init_args"]["fold"] = "all"
    Path("runs/a/all/config.yaml").write_text(yaml.safe_dump(content))
    store(Path("runs/a/all/predictions/val"), {})
    cli.main(["report", "runs/a"])
    page = Path("runs/a/report/report.html").read_text()
    assert "no out-of-fold predictions" in page
    assert ">Sanity</h2>" in page
    assert ">Folds</h2>" not in page
    assert ">out of fold</td>" not in page
    rows = {name: page.count(f">{name}</td>") for name in ("target", "test")}
    assert rows == {"target": 1, "test": 1}
    assert pd.read_csv("runs/a/report/outliers.csv")["image_id"].tolist() == ["u0"]


def test_an_experiment_that_was_not_predicted_is_named(here):
    for path in Path("runs/a").glob("*/predictions/val/manifest.json"):
        path.unlink()
    with pytest.raises((SystemExit, ValueError, FileNotFoundError), match="predictions/val"):
        cli.main(["report", "runs/a"])
