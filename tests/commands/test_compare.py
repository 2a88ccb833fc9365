"""Experiments side by side: differences of configs, scores with their spread, what is missing, folds and images in
pairs."""

import copy
import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import cli
from commands import crossval
from experiments.differences import MISSING, differences, short
from experiments.run_folder import RunFolder
from experiments.summaries import summarise

CONFIG = {
    "model": {
        "class_path": "M",
        "init_args": {
            "loss": "bce",
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "fused": None}},
        },
    },
    "data": {
        "class_path": "D",
        "init_args": {
            "fold": 0,
            "folds": "folds.csv",
            "seed": 0,
            "augmentation": [
                {"class_path": "a.Flip", "init_args": {"p": 0.5}},
                {"class_path": "a.Noise", "init_args": {"p": 0.5}},
            ],
        },
    },
    "competition": {"metric": {"class_path": "evaluation.metrics.DicePerImage", "init_args": {"empty": 1.0}}},
    "experiment": "a",
    "seed_everything": 0,
}


def changed(**values):
    """The config with other values at dotted keys."""
    config = copy.deepcopy(CONFIG)
    for key, value in values.items():
        *parts, last = key.split("__")
        node = config
        for part in parts:
            node = node[int(part) if part.isdigit() else part]
        node[int(last) if last.isdigit() else last] = value
    return config


# --- configs ---------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_named():
    rate = changed(model__init_args__optimizer__init_args__lr=0.2, data__init_args__augmentation__1__init_args__p=0.9)
    rate |= {"experiment": "b", "seed_everything": 4}
    rate["data"]["init_args"] |= {"fold": 1, "folds": "other.csv", "seed": 9}
    assert differences([CONFIG, rate]) == {"model.optimizer.lr": [0.1, 0.2], "data.augmentation.1.p": [0.5, 0.9]}
    assert differences([CONFIG, copy.deepcopy(CONFIG)]) == {}
    sgd = changed(model__init_args__optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}})
    (key, values), *rest = differences([CONFIG, CONFIG, sgd]).items()
    assert (key, rest) == ("model.optimizer", [])
    assert list(map(short, values)) == ["AdamW(lr=0.1)", "AdamW(lr=0.1)", "SGD(lr=0.1)"]
    fewer = changed(data__init_args__augmentation=CONFIG["data"]["init_args"]["augmentation"][1:])
    assert list(differences([CONFIG, fewer])) == ["data.augmentation"]
    assert short(differences([CONFIG, fewer])["data.augmentation"][0]) == "[Flip(p=0.5), Noise(p=0.5)]"
    more = changed()
    more["panels"] = 0
    assert differences([CONFIG, more]) == {"panels": [MISSING, 0]}
    assert short("x" * 50) == "x" * 39 + "…"


# --- experiments on disk ---------------------------------------------------------------------------------------------


def write_run(path, score, fold=0, config=CONFIG, state="finished", images=(), best=3, folds_hash="h", sign=1):
    """A run as `fit` leaves it: the score at epoch `best`, worse ones beside it."""
    run = RunFolder(path)
    run.checkpoints.mkdir(parents=True)
    config = copy.deepcopy(config)
    config["data"]["init_args"]["fold"] = fold
    run.config.write_text(yaml.safe_dump(config))
    run.write_facts(state=state, folds_hash=folds_hash)
    lines = [f"{100 + 20 * e},fit,{e},{e},val/score,{score - sign * 0.1 * abs(e - best)}" for e in range(5)]
    run.path.joinpath("metrics.csv").write_text("\n".join(["time,stage,epoch,step,name,value", *lines]) + "\n")
    run.path.joinpath("scores.csv").write_text(
        "\n".join(["image_id,score", *(f"{name},{value}" for name, value in images)]) + "\n"
    )
    weights = {"network.conv.weight": torch.zeros(3, 4), "network.norm.weight": torch.zeros(5)}
    weights |= {"network.norm.running_mean": torch.zeros(5), "loss.centers": torch.zeros(7)}
    torch.save({"state_dict": weights, "epoch": best}, run.checkpoints / "best.ckpt")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two experiments of three folds; b is better by 0.1 in each, and in each image but one. c has one fold."""
    monkeypatch.chdir(tmp_path)
    lines = [f"i{number},{number % 3},g{number}" for number in range(12)]
    Path("folds.csv").write_text("\n".join(["image_id,fold,group", *lines]) + "\n")
    faster = changed(model__init_args__optimizer__init_args__lr=0.2)
    for fold in range(3):
        names = [f"i{number}" for number in range(12) if number % 3 == fold]
        score = 0.5 + 0.1 * fold
        write_run(f"runs/a/fold{fold}", score, fold, images=[(name, 0.5) for name in names])
        images = [(name, 0.4 if name == "i7" else 0.6) for name in names]
        write_run(f"runs/b/fold{fold}", score + 0.1, fold, faster, images=images, best=1)
    write_run("runs/c/fold1", 0.9, 1, images=[("i1", 0.9)])
    return tmp_path


def compare(capsys, *arguments):
    assert cli.main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def test_scores_spread_and_pairs(here, capsys):
    output = compare(capsys, "runs/a", "runs/b", "--output", "out.csv")
    table = list(csv.DictReader(open("out.csv")))
    spread = f"{np.std([0.5, 0.6, 0.7], ddof=1):.4f}"
    assert [(row["score"], row["spread"], row["folds"]) for row in table] == [
        ("0.6000", spread, "3"),
        ("0.7000", spread, "3"),
    ]
    assert [row["best_epochs"] for row in table] == ["3 3 3", "1 1 1"]
    assert [row["time"] for row in table] == ["0:04:00"] * 2, "three folds of 80 s"
    assert [row["parameters"] for row in table] == ["17", "17"]
    assert [row["model.optimizer.lr"] for row in table] == ["0.1", "0.2"]
    assert "data.fold" not in table[0]
    assert "folds in common (fold0, fold1, fold2): +0.1000 ± 0.0000, better in 3 of 3" in output
    difference = [0.1] * 11 + [-0.1]
    (line,) = [line for line in output.splitlines() if "images in common" in line]
    assert f"12 images in common: {np.mean(difference):+.4f} [" in line
    low, high = (float(number) for number in line.split("[")[1].split("]")[0].split(","))
    assert 0 < low < np.mean(difference) < high <= 0.1
    assert "note:" not in output


def test_what_is_missing_is_said(here, capsys):
    RunFolder("runs/b/fold2").write_facts(state="started")
    (here / "runs/b/fold0/metrics.csv").write_text("time,stage,epoch,step,name,value\n")
    output = compare(capsys, "runs/a", "runs/b", "runs/c", "--output", "out.csv")
    assert "runs/b: fold2 is unfinished (started) and left out" in output
    assert "runs/b: fold0 is left out: runs/b/fold0/metrics.csv: no val/score" in output
    assert "runs/c: 2 of 3 folds are not trained: 0, 2" in output
    assert "folds in common (fold1): +0.1000, better in 1 of 1" in output
    assert "folds in common (fold1): +0.3000, better in 1 of 1" in output
    assert "4 images in common" in output
    assert "8 images are scored by only one of them" in output
    table = list(csv.DictReader(open("out.csv")))
    assert table[1]["folds"] == "1"
    assert "fold2 is unfinished" in table[1]["notes"]


def write_crossval(experiment, values, images):
    rows = [
        (repeat, fold, 0, 2, score, 40, "finished" if score else "failed", run)
        for (repeat, fold, run), score in values.items()
    ]
    with open(f"{experiment}/crossval.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([crossval.COLUMNS, *rows])
    with open(f"{experiment}/out_of_fold.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([("image_id", "repeat", "fold", "score", "run"), *images])


def test_a_cross_validation_counts_more_than_its_trainings(here, capsys):
    """Its table has the scores of out-of-fold predictions, repetitions too; an image's are averaged."""
    write_run("runs/a/repeat1/fold0", 0.1, 0)
    values = {(0, fold, f"runs/a/fold{fold}"): 0.8 for fold in range(2)} | {(1, 0, "runs/a/repeat1/fold0"): 0.5}
    write_crossval("runs/a", values, [("i0", 0, 0, 0.2, "x"), ("i0", 1, 0, 0.4, "x"), ("i1", 0, 1, 0.7, "x")])
    summary = summarise("runs/a")
    assert summary.source == "crossval"
    assert summary.scores == {(0, "fold0"): 0.8, (0, "fold1"): 0.8, (1, "fold0"): 0.5}
    assert summary.images == {"i0": pytest.approx(0.3), "i1": 0.7}
    assert summary.notes == ["fold2 is left out: it is not in crossval.csv"]
    output = compare(capsys, "runs/a", "runs/b")
    assert "scores of runs/a are from crossval, those of runs/b from fit" in output


def test_other_metrics_and_other_folds_are_not_compared(here, capsys):
    other = changed(competition__metric={"class_path": "evaluation.metrics.DicePerImage", "init_args": {"empty": 0.0}})
    write_run("runs/d/fold0", 0.9, 0, other)
    write_run("runs/e/fold0", 0.9, 0, folds_hash="another", images=[("i0", 0.7), ("i1", 0.8)])
    output = compare(capsys, "runs/a", "runs/d", "runs/e")
    assert "runs/d and runs/a have different metrics; their scores cannot be compared" in output
    assert "different metrics: not compared" in output
    assert "runs/e was trained on different folds than runs/a" in output
    assert "different folds: not compared fold by fold" in output
    assert "2 images in common: +0.2500" in output


def test_single_runs_an_ensemble_and_a_metric_of_errors(here, capsys):
    output = compare(capsys, "runs/a/fold1", "runs/b/fold1")
    assert "folds in common (fold1): +0.1000, better in 1 of 1" in output
    assert "not trained" not in output
    write_run("runs/ens/ensemble", 0.0, 0)
    RunFolder("runs/ens/ensemble").write_facts(rule="mean", members=["runs/a"], cross_fitted=0.75)
    summary = summarise("runs/ens")
    assert (summary.source, summary.mean(), summary.notes) == ("ensemble", 0.75, [])
    loss = changed(competition__metric={"class_path": "evaluation.metrics.LogLoss", "init_args": {}})
    for name, score in (("f", 0.5), ("g", 0.3)):
        write_run(f"runs/{name}/fold0", score, 0, loss, sign=-1)
    output = compare(capsys, "runs/f", "runs/g")
    assert "(lower is better)" in output
    assert "folds in common (fold0): -0.2000, better in 1 of 1" in output
    assert "no images in common" in output


def test_wrong_folders(here, capsys):
    with pytest.raises(SystemExit, match="runs/nothing contains no run"):
        cli.main(["compare", "runs/a", "runs/nothing"])
    Path("runs/a/tune").mkdir()
    Path("runs/a/tune/study.json").write_text("{}")
    with pytest.raises(SystemExit, match="is a study of `tune`"):
        cli.main(["compare", "runs/a/tune"])
    assert compare(capsys, "runs/a", "runs/a").count("the configs are the same except for fold, seed and folders") == 1
