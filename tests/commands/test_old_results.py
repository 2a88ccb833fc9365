"""No verb takes old results for those of now: of another checkpoint, other files, another chain, some of the folds."""

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
from callbacks.prediction_writer import PredictionWriter
from commands.command_line.config import read_config
from commands.run import ChainStep, run_step
from evaluation.folds import folds_hash, read_folds
from experiments.members import is_current
from experiments.run_folder import RunFolder
from predictions.store import PredictionStore
from preprocessing.sources import checkpoint_mark, look

TRAIN = {f"t{number}": number % 3 for number in range(9)}
TEST = ("u0", "u1")
OF_TEST = ("submit", "pseudo", "suggest")
STACK = [
    "--model",
    "sklearn.linear_model.LogisticRegression",
    "--output",
    "runs/s",
    "--target",
    "label",
    "--keep",
    "[mask]",
]
ARGUMENTS = {
    "score": ["runs/a"],
    "search": ["runs/a", "--processes", "1"],
    "report": ["runs/a"],
    "clean": ["runs/a"],
    "ensemble": ["runs/a", "--output", "runs/ens", "--processes", "1"],
    "stack": ["runs/a", *STACK],
    "submit": ["runs/a"],
    "pseudo": ["runs/a", "--soft", "true"],
    "suggest": ["runs/a", "--n_uncertain", "1", "--n_pick", "1"],
}


def label(name):
    return sum(map(ord, name)) % 2


def arrays(name, fold):
    values = np.random.default_rng([fold, sum(map(ord, name))]).random((1, 16, 16), np.float32)
    near = abs(label(name) - 0.3)
    return {"mask": values, "label": np.array([near], np.float32)}


def predict(run):
    """What `predict` does, without a network."""
    data = read_config("score", [str(run.path)]).data
    name = yaml.safe_load(run.config.read_text())["data"]["init_args"]["fold"]
    for split in ("val", "test"):
        store = PredictionStore(run.predictions / split)
        inputs = data.predict_inputs(split)
        mark = checkpoint_mark(run.path, "best", run.checkpoint("best"), store.path)
        for image_id in store.begin(list(inputs), f"made by {mark.file.hash}", inputs, mark):
            store.write(image_id, arrays(image_id, name))
        store.finish(look(inputs, {}))


def train(run, content):
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (run.checkpoints / "best.ckpt").write_text(content)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment of three folds."""
    folder = tmp_path_factory.mktemp("competition")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in (*TRAIN, *TEST):
            path = Path("data") / ("train" if name in TRAIN else "test") / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng(list(name.encode())).integers(0, 255, (16, 16, 3), np.uint8)
            cv2.imwrite(str(path), picture)
            if name in TRAIN:
                Path("data/masks").mkdir(exist_ok=True)
                cv2.imwrite(f"data/masks/{name}.png", (picture[..., 0] > 99).astype(np.uint8) * 255)
        rows = [(name, fold, name, label(name)) for name, fold in TRAIN.items()]
        table = pd.DataFrame(rows, columns=["image_id", "fold", "group", "label"])
        table[["image_id", "fold", "group"]].to_csv("folds.csv", index=False)
        table[["image_id", "label"]].to_csv("data/labels.csv", index=False)
        targets = [
            {"class_path": "datamodules.targets.MaskFiles", "init_args": {"pattern": "masks/{image_id}.png"}},
            {
                "class_path": "datamodules.targets.Labels",
                "init_args": {"columns": "label", "csv": "labels.csv", "classes": 2},
            },
        ]
        init_args = {"root": "data", "images": "train/*.png", "test_images": "test/*.png", "folds": "folds.csv"}
        init_args["targets"] = targets
        competition = {
            "metric": {"class_path": "evaluation.metrics.DicePerImage"},
            "postprocess": [{"class_path": "postprocessing.Threshold", "init_args": {"value": 0.5}}],
            "submission": {"class_path": "submissions.RunLengths"},
        }
        for fold in range(3):
            run = RunFolder(Path("runs/a") / f"fold{fold}")
            data = {
                "class_path": "datamodules.ImageDataModule",
                "init_args": init_args | {"fold": fold},
            }
            content = {"experiment": "a", "data": data, "competition": competition, "model": {"init_args": {}}}
            train(run, f"first {fold}")
            run.config.write_text(yaml.safe_dump(content))
            run.write_facts(folds_hash=folds_hash(read_folds("folds.csv")), state="finished")
            predict(run)
    return folder


def run(verb, *more):
    assert cli.main([verb, *ARGUMENTS[verb], *more]) == 0


def refused(verb, *more):
    with pytest.raises((SystemExit, ValueError)) as stopped:
        run(verb, *more)
    assert not list(Path("runs").glob("*/*/config.yaml.tmp"))
    return str(stopped.value)


@pytest.mark.parametrize("verb", [verb for verb in ARGUMENTS if verb != "report"])  # it draws for seconds
def test_every_verb_takes_what_is_current_and_whole(here, verb, capsys):
    run(verb)
    assert "note" not in capsys.readouterr().out


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_predictions_of_another_checkpoint_are_refused(here, verb):
    train(RunFolder("runs/a/fold1"), "trained again")
    split = "test" if verb in OF_TEST else r"\w+"
    told = refused(verb)
    expected = rf"runs/a/fold1/predictions/{split} was predicted with another checkpoint than .*best.ckpt"
    assert re.search(expected, told)
    assert "python cli.py predict" in told
    if verb in ("score", "submit"):
        predict(RunFolder("runs/a/fold1"))
        run(verb)


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_files_that_were_replaced_since_are_refused(here, verb):
    name = "data/test/u1.png" if verb in OF_TEST else "data/train/t4.png"
    if verb in ("ensemble", "stack"):  # they look where the files lay when they were predicted
        predict(RunFolder("runs/a/fold1"))
    cv2.imwrite(name, np.zeros((16, 16, 3), np.uint8))
    told = refused(verb)
    assert f"first {Path(name).stem!r}" in told
    assert name in told
    assert "outdated" in told


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_a_missing_fold_is_refused_unless_it_is_skipped(here, verb, capsys):
    shutil.rmtree("runs/a/fold2")
    told = refused(verb)
    assert "runs/a: 1 of 3 folds are not trained: 2 (see folds.csv)" in told
    assert "--missing skip" in told
    if verb == "report":
        return
    run(verb, "--missing", "skip")
    assert "note: runs/a: 1 of 3 folds are not trained: 2" in capsys.readouterr().out


def test_a_run_that_is_named_and_a_single_fold_are_a_division_of_their_own(here, capsys):
    cli.main(["score", "runs/a/fold1"])
    assert "note" not in capsys.readouterr().out
    for fold in (0, 2):
        shutil.rmtree(f"runs/a/fold{fold}")
    run("score")
    assert "note: runs/a: 2 of 3 folds are not trained: 0, 2" in capsys.readouterr().out


def test_another_root_and_other_images_are_refused(here):
    shutil.copytree("data", "other")
    run("submit", "--data.root", "other")
    cv2.imwrite("other/test/u0.png", np.zeros((16, 16, 3), np.uint8))
    assert "other/test/u0.png" in refused("submit", "--data.root", "other")
    shutil.copy("data/test/u0.png", "data/test/u2.png")
    assert "no prediction of 'u2', an image of test in data" in refused("submit")
    for name in ("u0", "u2"):
        Path(f"data/test/{name}.png").unlink()
    assert "contains 'u0', which is not an image of test in data" in refused("submit")


def test_what_was_made_from_predictions_is_as_old_as_they_are(here, capsys):
    run("ensemble")
    run("stack")
    for path in ("runs/ens", "runs/s"):
        cli.main(["submit", path])
    train(RunFolder("runs/a/fold0"), "trained again")
    for path in ("runs/ens", "runs/s"):
        for verb in ("score", "submit", "search"):
            with pytest.raises((SystemExit, ValueError), match=r"runs/a/fold0/predictions/\w+ was predicted with"):
                cli.main([verb, path])
    with pytest.raises(SystemExit, match="was predicted with another checkpoint"):
        cli.main(["compare", "runs/ens"])
    predict(RunFolder("runs/a/fold0"))
    for path in ("runs/ens", "runs/s"):
        with pytest.raises((SystemExit, ValueError), match=r"from .*runs/a/fold0/predictions/val, which have changed"):
            cli.main(["score", path])
    run("ensemble")
    cli.main(["score", "runs/ens"])


def test_compare_refuses_scores_of_another_checkpoint_and_missing_folds(here, capsys):
    runs = [RunFolder(f"runs/a/fold{fold}") for fold in range(3)]
    lines = ["repeat,fold,seed,best_epoch,score,seconds,state,run"]
    for fold, one in enumerate(runs):
        lines.append(f"0,{fold},0,1,0.5,9,finished,{one.path}")
        (one.path / "member.json").write_text(json.dumps({"predicted": checkpoint_hash(one)}))
    Path("runs/a/crossval.csv").write_text("\n".join(lines) + "\n")
    assert cli.main(["compare", "runs/a"]) == 0
    train(runs[1], "trained again")
    with pytest.raises(
        SystemExit, match="the scores of fold1 in runs/a are outdated: they are of an earlier checkpoint"
    ):
        cli.main(["compare", "runs/a"])
    train(runs[1], "first 1")
    shutil.rmtree(runs[2].path)
    with pytest.raises(SystemExit, match="1 of 3 folds are not trained: 2"):
        cli.main(["compare", "runs/a"])
    assert cli.main(["compare", "runs/a", "--missing", "skip"]) == 0
    assert "note: runs/a: 1 of 3 folds are not trained: 2" in capsys.readouterr().out


def checkpoint_hash(run):
    return checkpoint_mark(run.path, "best", run.checkpoint("best"), run.predictions).file.hash


def test_a_chain_of_commands_predicts_again_when_the_images_changed(here, monkeypatch, capsys):
    """`run` skips what is done; a picture that was replaced, or added, is something to do."""
    done, one = [], RunFolder("runs/a/fold0")
    monkeypatch.setattr("commands.run.launch", lambda arguments: done.append(arguments) or 0)
    predict(one)  # in this place
    step = ChainStep("predict", ["x"], [one.config], [], lambda: is_current(one))
    for count, change in enumerate([None, None, lambda: shutil.copy("data/test/u0.png", "data/test/u9.png")]):
        if change is not None:
            change()
        run_step(step, Path("chain.json"), [])
        assert len(done) == max(1, count), "the first time, and after the change"


def test_two_splits_of_one_name_would_share_a_store(tmp_path):
    class Data:
        def predict_splits(self):
            return ["a/images", "test", "b/images"]

    class Trainer:
        datamodule = Data()

    with pytest.raises(ValueError, match=r"two splits .* would be written to .*images: \['a/images', 'b/images'\]"):
        PredictionWriter(tmp_path, "one").setup(Trainer(), None, "predict")


# --- searched.yaml ---------------------------------------------------------------------------------------------------


def change(**competition):
    for file in Path("runs/a").glob("*/config.yaml"):
        content = yaml.safe_load(file.read_text())
        content["competition"] |= competition
        file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("verb", ["score", "submit", "report", "clean", "pseudo"])
def test_a_searched_chain_of_another_configured_one_is_refused(here, verb):
    run("search")
    change(postprocess=[{"class_path": "postprocessing.Threshold", "init_args": {"value": 0.4}}])
    told = refused(verb)
    assert "runs/a/searched.yaml was found for another post-processing chain than configured" in told
    assert "0.5" in told
    assert "0.4" in told
    if verb == "score":
        run("search")
        run("score")
        change(postprocess=[{"class_path": "postprocessing.FillHoles"}])
        assert "another post-processing chain" in refused(verb)
        # What is given on the command line takes the place of both.
        run("score", "--competition.postprocess", '[{"class_path": "postprocessing.Threshold"}]')
        Path("runs/a/searched.yaml").unlink()
        assert "another post-processing chain" not in refused(verb), "FillHoles expects a mask, not probabilities"


def test_what_else_has_changed_since_a_search_is_said(here, capsys):
    run("search")
    capsys.readouterr()
    run("score")
    assert "note" not in capsys.readouterr().out
    run("score", "--competition.metric", "evaluation.metrics.IoUPerImage")
    assert "note: runs/a/searched.yaml was found for another metric, DicePerImage" in capsys.readouterr().out
    train(RunFolder("runs/a/fold1"), "trained again")
    predict(RunFolder("runs/a/fold1"))
    run("submit")
    assert (
        "note: runs/a/searched.yaml was found on other predictions or folds than those of fold1"
        in capsys.readouterr().out
    )
    overlay = yaml.safe_load(Path("runs/a/searched.yaml").read_text())
    overlay["competition"]["postprocess"][0]["init_args"]["value"] = 0.123
    Path("runs/a/searched.yaml").write_text(yaml.safe_dump(overlay))
    run("score")
    assert "note: runs/a/searched.yaml has been changed since `search` wrote it" in capsys.readouterr().out
    Path("runs/a/searched.json").unlink()
    run("score")
    assert "note: runs/a/searched.yaml has no record of the chain it was found for" in capsys.readouterr().out
