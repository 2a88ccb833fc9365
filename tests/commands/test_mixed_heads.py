"""A binary and a three-class model of one question, ten folds each, as one ensemble (RSNA pneumonia, 1st place)."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

import cli
from evaluation.folds import folds_hash, read_folds
from predictions.store import PredictionStore

FOLDS = 10
TRAIN, TEST = [f"t{n:02}" for n in range(40)], ["u0", "u1"]
FOLD = {one: n % FOLDS for n, one in enumerate(TRAIN)}
SICK = {one: int(n % 3 == 0) for n, one in enumerate(TRAIN)}
HEADS = '{runs/three: {label: "label[1]"}}'  # normal, opacity, neither


def opacity(name, fold, image_id):
    """P(opacity), of no great worth."""
    random = np.random.default_rng([*name.encode(), fold, *image_id.encode()])
    return 0.25 * SICK.get(image_id, 0) + 0.6 * random.random()


def label(name, fold, image_id):
    positive = opacity(name, fold, image_id)
    if name == "binary":
        return np.float32([positive])
    return np.float32([(1 - positive) * 0.7, positive, (1 - positive) * 0.3])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*TRAIN, *TEST):
        path = Path("data") / ("train" if name in TRAIN else "test") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
    pd.DataFrame({"image_id": TRAIN, "sick": list(SICK.values())}).to_csv("data/labels.csv", index=False)
    rows = [(one, FOLD[one], one) for one in TRAIN]
    pd.DataFrame(rows, columns=["image_id", "fold", "group"]).to_csv("folds.csv", index=False)
    target = {"columns": "sick", "csv": "labels.csv", "kind": "number"}
    data = {"root": "data", "images": "train/*.png", "test_images": "test/*.png", "folds": "folds.csv"}
    data["targets"] = [{"class_path": "datamodules.targets.Labels", "init_args": target}]
    competition = {"metric": {"class_path": "evaluation.metrics.AreaUnderROC"}}
    competition["submission"] = {
        "class_path": "submissions.ClassColumns",
        "init_args": {"classes": ["opacity"]},
    }
    for name in ("binary", "three"):
        for fold in range(FOLDS):
            run = Path(f"runs/{name}/fold{fold}")
            for split, ids in (("val", [one for one in TRAIN if FOLD[one] == fold]), ("test", TEST)):
                store = PredictionStore(run / "predictions" / split)
                store.begin(ids, fingerprint=f"{name} {fold}")
                for image_id in ids:
                    store.write(image_id, {"label": label(name, fold, image_id)})
                store.finish()
            module = {"class_path": "datamodules.ImageDataModule", "init_args": data | {"fold": fold}}
            (run / "config.yaml").write_text(
                yaml.safe_dump({"experiment": name, "data": module, "competition": competition})
            )
            (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))


def ensemble(*arguments):
    cli.main(["ensemble", "runs/binary", "runs/three", *arguments, "--output", "runs/ens", "--processes", "1"])


def test_ten_folds_of_both_heads_are_one_probability_of_opacity(here, capsys):
    ensemble("--heads", HEADS)
    out = capsys.readouterr().out
    val, test = (PredictionStore.open(f"runs/ens/ensemble/predictions/{split}") for split in ("val", "test"))
    assert val.ids() == TRAIN
    expected = [np.mean([opacity(name, FOLD[one], one) for name in ("binary", "three")]) for one in TRAIN]
    np.testing.assert_allclose([val.read(one)["label"] for one in TRAIN], np.array(expected)[:, None], rtol=1e-5)
    for one in TEST:
        twenty = [opacity(name, fold, one) for name in ("binary", "three") for fold in range(FOLDS)]
        np.testing.assert_allclose(test.read(one)["label"], [np.mean(twenty)], rtol=1e-5)
    truth = list(SICK.values())
    for name in ("binary", "three"):  # each alone is scored by the same question
        printed = float(re.search(rf"runs/{name}\s+([\d.]+)", out).group(1))
        alone = roc_auc_score(truth, [opacity(name, FOLD[one], one) for one in TRAIN])
        assert printed == pytest.approx(alone, abs=1e-5)
    printed = float(re.search(r"mean\s+([\d.]+)", out).group(1))
    assert printed == pytest.approx(roc_auc_score(truth, expected), abs=1e-5)
    cli.main(["score", "runs/ens"])
    assert f"{roc_auc_score(truth, expected):.4f}" in capsys.readouterr().out
    cli.main(["submit", "runs/ens"])
    assert pd.read_csv("runs/ens/submission.csv")["image_name"].tolist() == TEST


def test_classes_are_summed_fold_by_fold_and_other_heads_begin_anew(here, capsys):
    ensemble("--heads", '{runs/three: {label: "label[0, 2]"}, runs/binary: {label: label}}', "--rule", "geometric")
    store = PredictionStore.open("runs/ens/ensemble/predictions/test")
    sums = [label("three", fold, "u0")[[0, 2]].sum() for fold in range(FOLDS)]
    both = [np.exp(np.mean(np.log(sums))), np.exp(np.mean([np.log(opacity("binary", f, "u0")) for f in range(FOLDS)]))]
    np.testing.assert_allclose(store.read("u0")["label"], [np.sqrt(np.prod(both))], rtol=1e-5)
    capsys.readouterr()
    ensemble("--heads", HEADS, "--rule", "geometric")
    assert "test: 2 images, 2 newly written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], r"output 'label': members have the shapes \(1,\) and \(3,\)"),
        (["--heads", "{runs/other: {label: label}}"], "--heads has the key runs/other, expected one of the members"),
        (["--heads", '{runs/three: {label: "label[3]"}}'], r"image 't00': .*\(3,\), it has no channel 3"),
        (["--heads", "{runs/three: {label: mask}}"], "'mask'"),
        (["--heads", "{runs/three: {label: 'label['}}"], "--heads of runs/three: label: 'label\\['"),
        (["--heads", HEADS, "--outputs", "[mask]"], "of runs/three has no output 'mask'"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(here, flags, message):
    with pytest.raises(SystemExit, match=message):
        ensemble(*flags)
    assert not Path("runs/ens").exists()
