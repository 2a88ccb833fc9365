"""Steps over all images in `score`, `search` and `submit`."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from evaluation.folds import folds_hash, read_folds
from predictions.store import PredictionStore

TRAIN, TEST = [f"t{n:02}" for n in range(24)], [f"u{n:02}" for n in range(12)]


def probabilities(name):
    """The right class, drowned by a liking for class 0."""
    own = np.eye(3)[int(name[1:]) % 3]
    random = np.random.default_rng(int(name[1:]) + 100 * (name[0] == "u"))
    values = np.exp(1.6 * own + 0.2 * random.normal(size=3) + np.array([2.0, 0, 0]))
    return (values / values.sum()).astype(np.float32)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*TRAIN, *TEST):
        path = Path("data", "train" if name in TRAIN else "test", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    kinds = pd.DataFrame({"image_id": TRAIN, "kind": [str(n % 3) for n in range(24)]})
    kinds.to_csv("data/kinds.csv", index=False)
    pd.DataFrame({"image_id": TRAIN, "fold": [n % 2 for n in range(24)], "group": TRAIN}).to_csv(
        "folds.csv", index=False
    )
    target = {"columns": "kind", "csv": "kinds.csv", "classes": 3}
    data = {
        "root": "data",
        "images": "train/*.png",
        "test_images": "test/*.png",
        "folds": "folds.csv",
        "targets": [{"class_path": "datamodules.targets.Labels", "init_args": target}],
    }
    for fold in range(2):
        config = {
            "experiment": "a",
            "data": {"class_path": "datamodules.ImageDataModule", "init_args": data | {"fold": fold}},
            "competition": {
                "metric": {"class_path": "evaluation.metrics.Accuracy", "init_args": {"classes": 3}},
                "postprocess": [
                    {"class_path": "postprocessing.LabelThreshold", "init_args": {"value": 2.0, "best": True}}
                ],
                "submission": {
                    "class_path": "submissions.Labels",
                    "init_args": {"id_column": "image_id", "value_column": "kind", "classes": 3},
                },
            },
        }
        run = Path(f"runs/a/fold{fold}")
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))
        for split, ids in (("val", [n for n in TRAIN if int(n[1:]) % 2 == fold]), ("test", TEST)):
            store = PredictionStore(run / "predictions" / split)
            store.begin(ids, fingerprint="x")
            for name in ids:
                store.write(name, {"label": probabilities(name)})
            store.finish()
    return tmp_path


def scored(capsys, *arguments):
    cli.main(["score", "runs/a", *arguments])
    return float(re.search(r"score \(\w+\) ([\d.]+)", capsys.readouterr().out).group(1))


def test_equal_counts_reach_score_and_submission(here, capsys):
    equal = '[{"class_path": "postprocessing.EqualizeCounts"}]'
    before, after = scored(capsys), scored(capsys, "--competition.dataset_postprocess", equal)
    assert before < 0.7
    assert after > 0.95
    cli.main(["submit", "runs/a", "--competition.dataset_postprocess", equal, "--output", "s.csv"])
    found = pd.read_csv("s.csv", dtype=str)
    assert found["kind"].value_counts().tolist() == [4, 4, 4]
    cli.main(["submit", "runs/a", "--output", "plain.csv"])
    assert pd.read_csv("plain.csv", dtype=str)["kind"].value_counts().max() > 6
    class_number = '[{"class_path": "postprocessing.ArgMax", "init_args": {"output": "label"}}]'
    cli.main(
        [
            "search",
            "runs/a",
            "--competition.dataset_postprocess",
            equal,
            "--competition.postprocess",
            class_number,
            "--processes",
            "1",
        ],
    )
    assert f"before        {after:.3f}" in capsys.readouterr().out


def test_the_labels_of_the_training_images_are_read(here, capsys):
    prior = '[{"class_path": "postprocessing.MatchPrior"}]'
    cli.main(
        [
            "submit",
            "runs/a",
            "--competition.dataset_postprocess",
            prior,
            "--competition.postprocess",
            "[]",
            "--output",
            "s.csv",
        ]
    )
    labels = pd.read_csv("s.csv", dtype=str, keep_default_na=False)["kind"].str.split().explode()
    assert labels.value_counts().loc[["0", "1", "2"]].tolist() == [4, 4, 4]  # a third each, as in training


def test_a_step_that_does_not_fit_names_the_key(here):
    wrong = '[{"class_path": "postprocessing.EqualizeCounts", "init_args": {"shares": [1, 1]}}]'
    with pytest.raises(
        SystemExit, match=r"error: competition\.dataset_postprocess: EqualizeCounts: shares has 2 values, expected 3"
    ):
        cli.main(["score", "runs/a", "--competition.dataset_postprocess", wrong])
