"""Chains of stages: weights carried, the optimizer replaced, killed in the second and resumed there."""

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

import cli
from commands.command_line.command_line import CommandLine
from experiments.fit_settings import FitSettings
from experiments.kept_checkpoints import kept_checkpoints
from experiments.run_folder import RunFolder
from experiments.stages import make_stages, own_flags, run_stages, stages_given

OVERLAY = """
model:
  init_args:
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.1}}
    scheduler: {class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.5}}
data: {init_args: {test_images: test/*.png}}
cv: {k: 2}
trainer: {max_epochs: 2, log_every_n_steps: 1}
stages:
  - name: warm
    checkpoint: {save_top_k: 2, filename: "{epoch}"}
  - name: cyclic
    from: average
    model:
      init_args:
        optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.01, momentum: 0.9}}
        scheduler:
          class_path: torch.optim.lr_scheduler.CyclicLR
          init_args: {base_lr: 0.01, max_lr: 0.05, step_size_up: 2}
    trainer: {max_epochs: 3}
  - name: tune
    from: last
    model: {init_args: {optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}}}
    trainer: {max_epochs: 1}
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    """A folder with twelve labelled pictures of 8 x 8, four unlabelled ones, the config and its folds."""
    monkeypatch.chdir(tmp_path)
    pixel_images(12, test=4)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    assert cli.main(["folds", "--config", "c.yaml"]) == 0
    return tmp_path


def in_process(arguments: list[str]) -> int:
    """A stage without a process of its own, with a status as a process would have."""
    try:
        return cli.main(arguments)
    except (SystemExit, KeyboardInterrupt, RuntimeError):
        return 1


def chain(*extra: str) -> None:
    settings = CommandLine.read(["--config", "c.yaml", *extra]).settings
    run_stages(settings, stages_given(settings), in_process)


def weights(path: Path | str) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def rates(folder: str) -> list[float]:
    rows = csv.DictReader(open(Path(folder) / "metrics.csv"))
    return [float(row["value"]) for row in rows if row["name"].startswith("lr-") and "momentum" not in row["name"]]


def test_three_stages_killed_in_the_second_resume_there_exactly(here, monkeypatch, capsys):
    chain("--experiment", "whole")
    whole = weights("runs/whole/fold0/checkpoints/last.ckpt")

    def dies(self, trainer, *rest):
        if "cyclic" in str(trainer.default_root_dir) and trainer.global_step == 7:  # within its third epoch
            raise KeyboardInterrupt  # what Python makes of the signal, at a place that is always the same

    with monkeypatch.context() as patch:
        patch.setattr(pl.callbacks.LearningRateMonitor, "on_train_batch_end", dies, raising=False)
        with pytest.raises(SystemExit, match="stage 'cyclic' ended"):
            chain("--experiment", "killed")
    assert not Path("runs/killed/fold0/config.yaml").exists(), "half a chain is no trained run"
    with pytest.raises(SystemExit, match="--ckpt_path last"):
        chain("--experiment", "killed")
    warm = Path("runs/killed/fold0/stages/1_warm/checkpoints/last.ckpt").stat().st_mtime_ns
    capsys.readouterr()
    chain("--experiment", "killed", "--ckpt_path", "last")
    assert "stage warm: finished before, skipped" in capsys.readouterr().out
    assert Path("runs/killed/fold0/stages/1_warm/checkpoints/last.ckpt").stat().st_mtime_ns == warm
    for name, value in weights("runs/killed/fold0/checkpoints/last.ckpt").items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=0)

    # weights are carried: the second began from the mean of the first's two, the third from the second's last
    record = json.loads(Path("runs/whole/fold0/stages.json").read_text())["stages"]
    assert [entry["state"] for entry in record] == ["finished"] * 3
    first = RunFolder("runs/whole/fold0/stages/1_warm")
    kept = [weights(path) for path in first.checkpoints.glob("*.ckpt") if not path.name.startswith("last")]
    assert len(kept) == 2
    for name, value in weights(record[1]["from"]).items():
        torch.testing.assert_close(value, torch.stack([state[name] for state in kept]).mean(0))
    assert record[2]["from"].endswith("2_cyclic/checkpoints/last.ckpt")

    # the best of several checkpoints is found under its own name
    facts = first.read_facts()
    assert facts["best"] in {path.name for path in first.checkpoints.glob("*.ckpt")} - {"last.ckpt", "last-1.ckpt"}
    assert first.checkpoint("best").name == facts["best"]

    # the optimizer is replaced, the trace of its rates is there
    second = torch.load("runs/whole/fold0/stages/2_cyclic/checkpoints/last.ckpt", weights_only=True)
    assert "momentum_buffer" in second["optimizer_states"][0]["state"][0]
    third = torch.load("runs/whole/fold0/checkpoints/last.ckpt", weights_only=True)
    assert {"exp_avg", "exp_avg_sq"} <= set(third["optimizer_states"][0]["state"][0])
    assert third["epoch"] == 0
    up = [0.01, 0.03, 0.05, 0.03, 0.01, 0.03, 0.05, 0.03, 0.01]
    assert sorted(set(np.round(rates("runs/whole/fold0/stages/2_cyclic"), 6))) == sorted(set(up))

    # what `predict` takes is the last stage, and it needs none of the others
    shutil.rmtree("runs/whole/fold0/stages")
    assert cli.main(["predict", "runs/whole/fold0"]) == 0
    assert len(list(Path("runs/whole/fold0/predictions/val").glob("*.npz"))) == 6


def test_a_finished_stage_with_other_settings_is_refused(here):
    folder = Path("runs/c/fold0")
    folder.mkdir(parents=True)
    done = {"name": "warm", "state": "finished", "settings": "of yesterday"}
    (folder / "stages.json").write_text(json.dumps({"stages": [done]}))
    with pytest.raises(SystemExit, match="'warm' .* was trained with other settings"):
        chain("--ckpt_path", "last")


def test_overwrite_begins_without_what_other_stages_have_left(tmp_path, monkeypatch, pixel_config):
    """Their folders would be taken for stages of the new run, and their record would have some of it skipped."""
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    folder, seen = Path("runs/c/fold0"), []

    def fit(arguments):
        run = RunFolder(arguments[arguments.index("--run_folder") + 1])
        left = sorted(path.name for path in folder.glob("stages/*") if (path / "run.json").is_file())
        seen.append((run.path.name, left, arguments[-2:]))
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        for name in ("last.ckpt", "best.ckpt"):
            torch.save({"state_dict": {"w": torch.zeros(1)}, "callbacks": {}}, run.checkpoints / name)
        run.write_facts(state="finished")
        return 0

    entries = [{"name": "one"}, {"name": "two"}, {"name": "three", "from": "last"}]
    given = FitSettings().with_configs("c.yaml")
    run_stages(given, entries, fit)
    assert [name for name, _, _ in seen] == ["1_one", "2_two", "fold0"]
    with pytest.raises(SystemExit, match="already contains stages of a run"):
        run_stages(given, entries, fit)
    seen.clear()
    run_stages(
        CommandLine.read(["--config", "c.yaml", "--overwrite", "true"]).settings,
        [{"name": "other"}, {"name": "last"}],
        fit,
    )
    assert seen == [("1_other", [], ["--overwrite", "true"]), ("fold0", ["1_other"], ["--overwrite", "true"])]
    assert [entry["name"] for entry in json.loads((folder / "stages.json").read_text())["stages"]] == ["other", "last"]


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([{"from": "best"}], "stage 1 .* the first stage cannot have"),
        ([{}, {"from": "middle"}], "'middle', expected one of best, last, average"),
        ([{}, {"data": {"init_args": {"fold": 1}}}], "data.fold must be the same in all stages"),
        ([{}, {"competition": {}}], "competition must be the same in all stages"),
        ([{}, {"model": {"init_args": {"init_from": "x"}}}], "choose it with `from`"),
        ([{"name": "a"}, {"name": "a"}], "must be unique"),
        ({"name": "a"}, "expected a list"),
    ],
)
def test_wrong_stages_are_named(entries, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        make_stages(entries, tmp_path)


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_that_cannot_start_leaves_nothing_and_says_nothing_more(here, number, capsys):
    """Its own error, such as missing weights, is the only one."""

    def call(arguments: list[str]) -> int:
        calls.append(arguments)
        return in_process(arguments) if len(calls) < number else 1

    calls: list[list[str]] = []
    settings = CommandLine.read(["--config", "c.yaml"]).settings
    with pytest.raises(SystemExit) as ended:
        run_stages(settings, stages_given(settings), call)
    assert ended.value.code == 1
    record = RunFolder("runs/c/fold0").stages
    assert record.is_file() == (number == 2)
    assert len(json.loads(record.read_text())["stages"]) == 1 if number == 2 else True
    assert len(list(Path("runs").rglob("stage.yaml"))) == number - 1
    assert "error" not in capsys.readouterr().err
    chain(*(["--ckpt_path", "last"] if number == 2 else []))  # once the cause is gone, it goes on
    assert RunFolder("runs/c/fold0").is_finished()


def test_flags_that_would_change_every_stage():
    with pytest.raises(SystemExit, match="init_from in the config"):
        own_flags(CommandLine.read(["--model.init_args.init_from", "x"]).settings)
    with pytest.raises(SystemExit, match="expected `last`"):
        own_flags(CommandLine.read(["--ckpt_path", "best"]).settings)
    left, resume, overwrite = own_flags(CommandLine.read(["--a", "1", "--ckpt_path=last"]).settings)
    assert (left.arguments(), resume, overwrite) == (["--a", "1"], True, False)


def test_the_best_checkpoints_of_a_run(tmp_path):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    key = "RunCheckpoint{'monitor': 'val/score', 'mode': 'max'}"
    scores = {"/elsewhere/a.ckpt": 0.2, "/elsewhere/b.ckpt": 0.9, "/elsewhere/gone.ckpt": 1.0}
    best_k = {name: torch.tensor(value) for name, value in scores.items()}
    torch.save({"state_dict": {}, "callbacks": {key: {"best_k_models": best_k}}}, run.checkpoint_file)
    assert kept_checkpoints(run) == (run.checkpoint_file, [run.checkpoint_file])
    for name in ("a.ckpt", "b.ckpt"):
        (run.checkpoints / name).touch()
    best, kept = kept_checkpoints(run)
    assert best.name == "b.ckpt"
    assert [path.name for path in kept] == ["b.ckpt", "a.ckpt"]
    for name, score in (("top-1.ckpt", 0.3), ("top-2.ckpt", 0.4)):
        state = {"TopCheckpoints": {"current_score": torch.tensor(score), "mode": "max"}}
        torch.save({"state_dict": {}, "callbacks": state}, run.checkpoints / name)
    best, kept = kept_checkpoints(run)
    assert best.name == "b.ckpt"
    assert [path.name for path in kept] == ["top-2.ckpt", "top-1.ckpt"]


def test_stages_come_from_the_last_config_or_the_flag(tmp_path):
    for name, text in (("a", "stages: [{name: x}]"), ("b", "trainer: {}"), ("c", "stages: null")):
        (tmp_path / name).write_text(text)
    a, b, c = (f"--config={tmp_path / name}" for name in "abc")
    assert stages_given(CommandLine.read([a, b]).settings) == [{"name": "x"}]
    assert stages_given(CommandLine.read([a, c]).settings) is None
    assert stages_given(CommandLine.read([a, "--stages", "null"]).settings) is None
    text = yaml.safe_dump([{"name": "y"}], default_flow_style=True)
    assert stages_given(CommandLine.read([b, f"--stages={text}"]).settings) == [{"name": "y"}]


@pytest.mark.slow
def test_a_chain_of_processes_ended_by_sigterm_goes_on(here):
    """As a scheduler's time limit ends it: the chain is asked, its stage saves nothing more, and both go on later."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(root / "cli.py"), "fit", "--config", "c.yaml", "--trainer.max_epochs", "400"]
    command += ["--trainer.check_val_every_n_epoch", "20", "--checkpoint.every_n_epochs", "20"]
    process = subprocess.Popen(command, start_new_session=True)
    last = Path("runs/c/fold0/stages/2_cyclic/checkpoints/last.ckpt")
    for _ in range(1200):
        if last.is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 143
    state = [entry["state"] for entry in json.loads(Path("runs/c/fold0/stages.json").read_text())["stages"]]
    assert state == ["finished", "started"]
    done = torch.load(last, weights_only=True)["epoch"]
    assert 0 < done < 399
    assert subprocess.run([*command, "--ckpt_path", "last"], check=False).returncode == 0
    assert RunFolder("runs/c/fold0").read_facts()["epochs"] == 400
