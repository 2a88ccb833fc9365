"""Labels that out-of-fold predictions contradict."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict

import cli
from commands.clean import suspects
from evaluation.folds import folds_hash, read_folds
from predictions.store import PredictionStore

COUNT = 600


def flipped():
    """A learnable problem, of which 6 % of the labels are flipped; out-of-fold probabilities of a real model."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, COUNT)
    features = random.normal(0, 1, (COUNT, 6)) + 2.0 * truth[:, None]
    wrong = random.random(COUNT) < 0.06
    labels = np.where(wrong, 1 - truth, truth)
    model = LogisticRegression(C=10.0)
    folds = KFold(5, shuffle=True, random_state=0)
    probabilities = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    return labels, wrong, probabilities[:, 1]


def test_planted_flips_are_found_and_good_rows_stay():
    labels, wrong, probabilities = flipped()
    found = suspects(labels[:, None], probabilities[:, None], 0.8).any(1)
    assert found[wrong].mean() >= 0.9
    assert found[~wrong].mean() < 0.02


def test_scaling_spares_the_positives_of_a_faint_class():
    labels = np.zeros((100, 1))
    labels[:20] = 1
    probabilities = np.where(labels > 0, 0.15, 0.01)
    probabilities[0] = 0.0
    assert suspects(labels, probabilities).any(1).sum() == 20
    assert np.flatnonzero(suspects(labels, probabilities, scaled=True).any(1)).tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 2)), np.zeros((3, 1))), "expected"),
        ((np.zeros((3, 1)), np.full((3, 1), 2.0)), "expected probabilities"),
        ((np.zeros((3, 1)), np.zeros((3, 1)), 1.5), "--threshold is 1.5"),
    ],
)
def test_what_cannot_be_compared(arguments, message):
    with pytest.raises(ValueError, match=message):
        suspects(*arguments)


def test_the_verb_writes_weights_that_leave_the_suspects_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels, wrong, probabilities = (part[:40] for part in flipped())
    ids = [f"{number:03}" for number in range(40)]
    Path("data").mkdir()
    for name in ids:
        cv2.imwrite(f"data/{name}.png", np.zeros((4, 4), np.uint8))
    pd.DataFrame({"image_id": ids, "sick": labels}).to_csv("data/labels.csv", index=False)
    folds = pd.DataFrame({"image_id": ids, "fold": [number % 2 for number in range(40)], "group": ids})
    folds.to_csv("folds.csv", index=False)
    target = {
        "class_path": "datamodules.targets.Labels",
        "init_args": {"columns": "sick", "csv": "labels.csv", "kind": "number"},
    }
    data = {"root": "data", "images": "*.png", "folds": "folds.csv", "targets": [target]}
    for fold in range(2):
        run = Path(f"runs/a/fold{fold}")
        run.mkdir(parents=True)
        config = {
            "experiment": "a",
            "data": {"class_path": "datamodules.ImageDataModule", "init_args": data | {"fold": fold}},
            "competition": {"metric": {"class_path": "evaluation.metrics.Accuracy", "init_args": {"classes": 2}}},
        }
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))
        store = PredictionStore(run / "predictions/val")
        held = [number for number in range(40) if number % 2 == fold]
        store.begin([ids[number] for number in held], fingerprint="x")
        for number in held:
            store.write(ids[number], {"label": np.array([probabilities[number]], np.float32)})
        store.finish()
    cli.main(["clean", "runs/a"])
    weights = pd.read_csv("runs/a/clean/weights.csv", dtype={"image_id": str}).set_index("image_id")["weight"]
    table = pd.read_csv("runs/a/clean/suspects.csv", dtype={"image_id": str})
    assert len(weights) == 40
    assert set(weights[weights == 0].index) == set(table["image_id"])
    planted = {ids[number] for number in np.flatnonzero(wrong)}
    assert planted
    assert len(planted & set(table["image_id"])) >= 0.9 * len(planted)
    assert table["distance"].is_monotonic_decreasing
    assert "--data.weights" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="is not an image-level output"):
        cli.main(["clean", "runs/a", "--name", "mask"])
