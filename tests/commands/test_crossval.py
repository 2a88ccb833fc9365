"""Cross-validation: members, seeds, restarts, failures, the table, and several out-of-fold values of an image."""

import csv
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import cli
from commands import crossval
from evaluation.folds import read_folds
from experiments import devices
from experiments.members import make_members, member_seed
from experiments.processes import launch
from experiments.run_folder import RunFolder
from predictions.store import PredictionStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    """Nine labelled pictures of 8 x 8 and the config."""
    monkeypatch.chdir(tmp_path)
    pixel_images(9)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config()))
    return tmp_path


class Fake:
    """Stands for the processes: `folds` as it is, `fit` and `predict` write what they would, at once."""

    def __init__(self, fail=()):
        self.calls, self.environments, self.fail, self.lock = [], [], set(fail), threading.Lock()
        self.running = self.most = 0

    def __call__(self, arguments, environment=None, log=None):
        verb = arguments[0]
        with self.lock:
            self.calls.append(arguments)
            if verb == "folds":
                return cli.main(arguments)
            self.running += 1
            self.most = max(self.most, self.running)
        if log is not None:
            time.sleep(0.05)
        status = getattr(self, verb)(arguments, environment or {})
        with self.lock:
            self.running -= 1
        return status

    def fit(self, arguments, environment):
        flags = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        run = RunFolder(flags["--run_folder"])
        self.environments.append(environment)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        key = (flags["--data.folds"], flags["--data.fold"])
        torch.save({"state_dict": {}, "epoch": 4, "key": str(key)}, run.checkpoint_file)
        if run.path.name in self.fail:
            return 3
        torch.save({"state_dict": {}, "epoch": 3, "key": str(key)}, run.checkpoints / "best.ckpt")
        run.config.write_text(yaml.safe_dump(flags))
        (run.path / "metrics.csv").write_text("time,stage\n100.0,fit\n130.0,fit\n9000.0,fit\n9010.0,fit\n")
        run.write_facts(state="finished")
        return 0

    def predict(self, arguments, environment):
        run = RunFolder(arguments[1])
        flags = yaml.safe_load(run.config.read_text())
        folds = read_folds(flags["--data.folds"])
        ids = folds[folds["fold"] == int(flags["--data.fold"])]["image_id"].tolist()
        store = PredictionStore(run.predictions / "val")
        for image_id in store.begin(ids, "x"):
            # wrong in the first pixels: the more, the higher the fold
            mask = (cv2.imread(f"data/masks/{image_id}.png", 0) > 0).astype(np.float32)
            mask[0, : 2 * int(flags["--data.fold"])] = 0.2
            store.write(image_id, {"mask": mask[None]})
        store.finish()
        return 0

    def count(self, verb):
        return sum(call[0] == verb for call in self.calls)


def rows(path):
    return list(csv.DictReader(open(path)))


def test_repeats_give_every_image_as_many_values_and_their_mean(here, capsys):
    fake = Fake()
    crossval.main(["--config", "c.yaml", "--repeats", "3"], fake)
    table = rows("runs/c/crossval.csv")
    assert [(row["repeat"], row["fold"]) for row in table] == [(str(r), str(f)) for r in range(3) for f in range(3)]
    assert {row["best_epoch"] for row in table} == {"3"}
    assert {row["seconds"] for row in table} == {"40"}, "the hours in which nothing ran do not count"
    assert len({row["seed"] for row in table}) == 7, "the first repetition has the plain seed"
    values = pd.read_csv("runs/c/out_of_fold.csv")
    assert (values.groupby("image_id").size() == 3).all()
    assert values["image_id"].nunique() == 9
    divisions = {Path(call[-1]).read_text() for call in fake.calls if call[0] == "folds"}
    assert len(divisions) == 3, "each repetition divides anew"
    store = PredictionStore.open("runs/c/out_of_fold")
    for image_id in store.ids():
        parts = [
            PredictionStore(Path(run) / "predictions" / "val").read(image_id)["mask"]
            for run in values[values["image_id"] == image_id]["run"]
        ]
        np.testing.assert_allclose(store.read(image_id)["mask"], np.mean(parts, axis=0), atol=1e-3)
    output = capsys.readouterr().out
    assert "repeat 2: out-of-fold score" in output
    # the same number as `score` says of the plain folder
    import re

    first = re.search(r"repeat 0: out-of-fold score (\S+)", output).group(1)
    assert cli.main(["score", "--config", "c.yaml"]) == 0
    assert f" {first} " in capsys.readouterr().out

    again = Fake()
    crossval.main(["--config", "c.yaml", "--repeats", "3"], again)
    assert again.calls == [], "what is finished is skipped"
    assert rows("runs/c/crossval.csv") == table


def test_a_failed_member_is_named_and_the_others_go_on(here, capsys):
    fake = Fake(fail=["fold1"])
    with pytest.raises(SystemExit, match=r"1 of 3 runs failed.*\n.*repeat 0 fold 1: fit ended with status 3"):
        crossval.main(["--config", "c.yaml"], fake)
    assert (fake.count("fit"), fake.count("predict")) == (3, 2)
    assert [row["state"] for row in rows("runs/c/crossval.csv")] == ["finished", "failed", "finished"]
    again = Fake()
    crossval.main(["--config", "c.yaml"], again)
    assert [call[0] for call in again.calls] == ["fit", "predict"]
    assert again.calls[0][-2:] == ["--ckpt_path", "last"], "an unfinished one goes on from its last checkpoint"
    with pytest.raises(SystemExit, match="trained with other settings"):
        crossval.main(["--config", "c.yaml", "--trainer.max_epochs", "2"], Fake())


def test_a_division_and_a_seed_per_fold(here):
    fake = Fake()
    crossval.main(["--config", "c.yaml", "--cv.seed_per_fold", "true"], fake)
    fits = [dict(zip(call[1::2], call[2::2], strict=True)) for call in fake.calls if call[0] == "fit"]
    assert [flags["--data.fold"] for flags in fits] == ["0", "1", "2"]
    held = []
    for flags in fits:
        folds = read_folds(flags["--data.folds"])
        held.append(folds[["image_id", "fold"]].to_csv())
    assert len(set(held)) == 3
    assert len({flags["--seed_everything"] for flags in fits}) == 3
    assert all(flags["--seed_everything"] == flags["--data.seed"] for flags in fits)
    seeds = [row["seed"] for row in rows("runs/c/crossval.csv")]
    assert seeds == [flags["--seed_everything"] for flags in fits]


def test_seeds_are_the_same_in_a_second_run():
    assert member_seed(5, 0, 3) == 5
    seeds = {member_seed(5, repeat, fold) for repeat in range(1, 31) for fold in range(5)}
    assert len(seeds) == 150
    one, other = (make_members(Path("runs/c"), Path("folds/c.csv"), [0, 1], 3, 5, False) for _ in range(2))
    assert [member.seed for member in one] == [member.seed for member in other]
    assert [str(member.run.path) for member in one[:3]] == [
        "runs/c/fold0", "runs/c/fold1", "runs/c/repeat1/fold0",
    ]  # fmt: skip
    assert [member.folds.name for member in one[::2]] == ["c.csv", "c_repeat1.csv", "c_repeat2.csv"]
    assert {member.folds.name for member in make_members(Path("r"), Path("c.csv"), [0, 2], 1, 5, True)} == {
        "c.csv", "c_repeat2.csv",
    }  # fmt: skip


def test_one_process_per_gpu(here, monkeypatch):
    monkeypatch.setattr(devices, "visible_devices", lambda text: ["4", "7"])
    fake = Fake()
    crossval.main(["--config", "c.yaml", "--devices", "auto"], fake)
    assert fake.most == 2
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in fake.environments} == {"4", "7"}


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (["--folds", "0,5"], "has no fold 5"),
        (["--folds", "first"], "expected fold numbers"),
        (["--repeats", "0"], "expected 1 or more"),
        (["--overwrite", "true"], "--overwrite is not for crossval"),
        (["--data.fold", "1"], "--data.fold is not for crossval"),
        (["--repeats", "2", "--seed_per_fold", "true"], "repeats is 2, expected 1"),
    ],
)
def test_wrong_arguments(extra, match, here):
    with pytest.raises(SystemExit, match=match):
        crossval.main(["--config", "c.yaml", *extra], Fake())


def test_devices_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert devices.visible_devices("auto") == ["3", "5"]
    assert devices.visible_devices("1") == ["5"]
    assert devices.visible_devices("none") == []
    with pytest.raises(SystemExit, match="found 2 GPUs"):
        devices.visible_devices("2")


def test_a_child_ends_with_its_parent(tmp_path):
    """SIGTERM for the chain ends the verb that it started."""
    code = (
        "import sys, experiments.processes as p\n"
        "p.CLI = sys.argv[1]\n"
        "with p.terminate_children_on_exit():\n    p.launch(['x'])\n"
    )
    child = tmp_path / "child.py"
    child.write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    (tmp_path / "run.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}")
    parent = subprocess.Popen([sys.executable, "run.py", str(child)], cwd=tmp_path)
    for _ in range(200):
        if (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    parent.terminate()
    assert parent.wait(20) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_whole_with_two_processes(here):
    crossval.main(["--config", "c.yaml", "--folds", "0,2", "--jobs", "2", "--devices", "none"], launch)
    assert [row["state"] for row in rows("runs/c/crossval.csv")] == ["finished", "finished"]
    assert all((Path("runs/c") / fold / "crossval.log").is_file() for fold in ("fold0", "fold2"))
