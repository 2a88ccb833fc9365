"""Studies: what is tried, resumed, failed, compared; what an overlay changes; a policy found by search."""

import csv
import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from torch import Tensor, nn

import cli
from commands import tune
from commands.command_line.command_line import CommandLine
from experiments import devices
from experiments.fit_settings import FitSettings
from experiments.processes import launch
from experiments.run_folder import RunFolder
from experiments.search_space import (
    Axis,
    Choices,
    Range,
    check_apart,
    drop_one_axis,
    locate,
    overlay,
    parse_axis,
    value_at,
)
from experiments.study import best_score, failure
from experiments.trial_proposals import Tried, grid, grid_size, random, tpe

OVERLAY = """
data:
  init_args:
    augmentation:
      - {class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}
      - {class_path: albumentations.GaussNoise, init_args: {p: 0.25}}
"""


# --- the space -------------------------------------------------------------------------------------------------------


def test_ranges_and_lists_are_read():
    assert parse_axis("optimizer.lr=1e-4:1e-2:log") == Axis("optimizer.lr", Range(1e-4, 1e-2, log=True))
    assert parse_axis("data.batch_size=4:16") == Axis("data.batch_size", Range(4, 16, whole=True))
    assert parse_axis("a.0.p=0.0:1.0:5").domain == Range(0, 1, points=5)
    assert parse_axis("a=1:100:3:log").domain == Range(1, 100, log=True, whole=True, points=3)
    assert parse_axis("loss=[bce, 'bce + dice(mask, per_image=true)', null]").domain == Choices(
        ("bce", "bce + dice(mask, per_image=true)", None)
    )
    assert parse_axis("lr=[1e-4, 3e-4, 0.001]").domain.options == (1e-4, 3e-4, 1e-3), "YAML 1.1 takes 1e-4 for a text"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("lr", "expected key=low:high"),
        ("=1:2", "expected key=low:high"),
        ("lr=5", "expected low:high, then log"),
        ("lr=1:2:linear", "expected low:high, then log"),
        ("lr=2:1", "expected low < high"),
        ("lr=1:inf", "expected low < high"),
        ("lr=0.0:1.0:log", "must start above 0"),
        ("lr=0:9:1", "2 or more points"),
        ("lr=[]", "the list is empty"),
        ("lr=[1", "not valid YAML"),
    ],
)
def test_wrong_spaces_are_quoted(text, match):
    with pytest.raises(ValueError, match=match) as raised:
        parse_axis(text)
    assert repr(text) in str(raised.value)


def test_values_lie_evenly_between_the_ends():
    shares = (np.arange(9000) + 0.5) / 9000
    whole = [Range(4, 6, whole=True).at(share) for share in shares]
    assert {value: whole.count(value) for value in (4, 5, 6)} == {4: 3000, 5: 3000, 6: 3000}
    assert all(type(value) is int for value in whole)
    rates = np.array([Range(1e-4, 1e-2, log=True).at(share) for share in shares])
    assert np.median(rates) == pytest.approx(1e-3, rel=0.01)
    assert (Range(1, 8).at(0.0), Range(1, 8).at(1.0)) == (1, 8)
    assert Range(1e-4, 1e-2, log=True, points=3).values() == [1e-4, 1e-3, 1e-2]
    assert Range(0, 1, points=4).at(0.3) == pytest.approx(1 / 3)
    assert Range(1, 3, whole=True).values() == [1, 2, 3]


WHOLE = {
    "model": {
        "class_path": "M",
        "init_args": {"loss": "bce", "optimizer": {"class_path": "A", "init_args": {"lr": 0.1, "betas": [0.9, 0.99]}}},
    },
    "data": {
        "class_path": "D",
        "init_args": {
            "sampler": None,
            "augmentation": [
                {"class_path": "Flip", "init_args": {"p": 0.5}},
                {"class_path": "OneOf", "init_args": {"transforms": [{"class_path": "Noise", "init_args": {"p": 1}}]}},
            ],
        },
    },
    "trainer": {"max_epochs": 3},
}


def test_keys_are_found_and_the_overlay_is_the_smallest():
    assert locate(WHOLE, "optimizer.lr") == ("model", "init_args", "optimizer", "init_args", "lr")
    assert locate(WHOLE, "model.init_args.optimizer.lr") == locate(WHOLE, "optimizer.lr")
    assert locate(WHOLE, "trainer.max_epochs") == ("trainer", "max_epochs")
    inner = locate(WHOLE, "data.augmentation.1.transforms.0.p")
    assert value_at(WHOLE, inner) == 1
    before = json.dumps(WHOLE)
    found = overlay(WHOLE, {locate(WHOLE, "optimizer.lr"): 7, inner: 0.25, locate(WHOLE, "optimizer.betas.1"): 0.5})
    assert json.dumps(WHOLE) == before
    assert found["model"] == {"init_args": {"optimizer": {"init_args": {"lr": 7, "betas": [0.9, 0.5]}}}}
    assert found["data"]["init_args"]["augmentation"] == [
        {"class_path": "Flip", "init_args": {"p": 0.5}},
        {"class_path": "OneOf", "init_args": {"transforms": [{"class_path": "Noise", "init_args": {"p": 0.25}}]}},
    ]
    assert set(found) == {"model", "data"}


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ("optimizer.lrr", "model.optimizer has no 'lrr'; did you mean 'lr'"),
        ("data.augmentation.2.p", "data.augmentation is a list with entries 0 to 1, not '2'"),
        ("data.augmentation.p", "not 'p'"),
        ("data.sampler.column", "data.sampler is None, which has no keys"),
        ("trainer.max_epochs.x", "trainer.max_epochs is 3"),
    ],
)
def test_a_key_that_is_not_there(key, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        locate(WHOLE, key)


def test_keys_within_each_other():
    keys = ["data.augmentation", "data.augmentation.0.p"]
    with pytest.raises(ValueError, match=r"data.augmentation and data.augmentation.0.p set the same key"):
        check_apart([(key, locate(WHOLE, key)) for key in keys])


# --- proposals -------------------------------------------------------------------------------------------------------

AXES = [
    Axis("lr", Range(1e-4, 1e-1, log=True)),
    Axis("loss", Choices(("bce", "dice"))),
    Axis("n", Range(1, 9, whole=True)),
]


def planted(values):
    """Best at lr 0.01, dice, n 7."""
    return -((math.log10(values["lr"]) + 2) ** 2) - (values["loss"] == "bce") - 0.1 * abs(values["n"] - 7)


def test_grid_has_every_point_once():
    axes = [Axis("a", Range(0, 1, points=3)), Axis("b", Choices(("x", "y")))]
    assert grid_size(axes) == 6
    assert [tuple(grid(axes, number).values()) for number in range(6)] == [
        (0, "x"), (0, "y"), (0.5, "x"), (0.5, "y"), (1, "x"), (1, "y"),
    ]  # fmt: skip


def test_random_values_follow_from_seed_and_number():
    found = [random(AXES, number, 3) for number in range(60)]
    assert found == [random(AXES, number, 3) for number in range(60)]
    assert found != [random(AXES, number, 4) for number in range(60)]
    assert len({values["lr"] for values in found}) == 60
    assert {values["n"] for values in found} == set(range(1, 10))
    assert max(map(planted, found)) > -0.8


@pytest.mark.parametrize("maximise", [True, False])
def test_tpe_finds_the_planted_optimum_and_goes_on_as_it_would_have(maximise):
    pytest.importorskip("optuna")
    sign = 1 if maximise else -1
    tried: list[Tried] = []
    for number in range(40):
        values = tpe(AXES, tried, 0, maximise)
        tried.append(Tried(values, None, failed=True) if number == 3 else Tried(values, sign * planted(values)))
    best = max((one for one in tried if not one.failed), key=lambda one: sign * one.score)
    assert best.values["loss"] == "dice"
    assert planted(best.values) > -0.15
    assert tpe(AXES, tried[:20], 0, maximise) == tried[20].values, "nothing but the trials is needed to go on"
    running = [*tried[:20], Tried(tried[20].values, None)]
    assert tpe(AXES, running, 0, maximise) != tried[20].values


def test_tpe_without_optuna_names_the_extra(monkeypatch, tmp_path):
    import sys

    config = tmp_path / "c.yaml"
    config.write_text("a: 1\n")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit, match=r"needs Optuna: pip install -e \"\.\[tune\]\""):
        tune.parse(["--config", str(config), "--space", "a=1:2", "--method", "tpe"])


# --- whole studies ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    """Nine labelled pictures of 8 x 8 and the config."""
    monkeypatch.chdir(tmp_path)
    pixel_images(9)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    return tmp_path


class Processes:
    """Stands for the processes. `folds` is run as it is; `fit` reads the configs that it was given, as they are on
    disk, and writes the metrics of a run whose score is a function of them.

    Args:
        score: of the merged values by flattened key.
        fail: called with them; a text fails the run with it.
    """

    def __init__(self, score, fail=lambda values: None):
        self.score, self.fail, self.calls, self.environments = score, fail, [], []

    def __call__(self, arguments, environment=None, log=None):
        from files.nested import flatten

        self.calls.append(arguments)
        if arguments[0] == "folds":
            return cli.main(arguments)
        self.environments.append(environment)
        values = {}
        for file in CommandLine.read(arguments[1:]).settings.configs:
            values |= flatten(yaml.safe_load(file.read_text()))
        run = RunFolder(arguments[arguments.index("--run_folder") + 1])
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.checkpoint_file.write_text("")
        reason = self.fail(values)
        if isinstance(reason, BaseException):
            raise reason
        if reason is not None:
            log.write_text(f"Traceback (most recent call last):\n  …\nRuntimeError: {reason}\nbye\n")
            return 1
        (run.checkpoints / "best.ckpt").write_text("")
        score = self.score(values)
        lines = [
            f"{time},fit,{epoch},{epoch},val/score,{value}"
            for time, epoch, value in [(100, 0, score - 1), (107, 1, score)]
        ]
        (run.path / "metrics.csv").write_text("\n".join(["time,stage,epoch,step,name,value", *lines]) + "\n")
        run.write_facts(state="finished")
        return 0

    def fits(self):
        return [call for call in self.calls if call[0] == "fit"]


def resolved(*files):
    return tune.resolved(FitSettings().with_configs(*files))


def rows(path):
    return list(csv.DictReader(open(path)))


SPACE = ["--space", "optimizer.lr=0.1:0.4:4", "--space", "data.augmentation.1.p=[0.0, 1.0]"]


def score(values):
    """Best at a learning rate of 0.3 without noise."""
    return 5 - abs(values["model.optimizer.lr"] - 0.3) - values["data.augmentation"][1]["init_args"]["p"]


def test_a_grid_finds_the_planted_optimum_and_its_overlay_gives_it(here, capsys):
    processes = Processes(score)
    tune.main(["--config", "c.yaml", "--trainer.max_epochs", "2", *SPACE], processes)
    table = rows("runs/c/tune/trials.csv")
    assert [(row["optimizer.lr"], row["data.augmentation.1.p"]) for row in table] == [
        (lr, p) for lr in ("0.1", "0.2", "0.3", "0.4") for p in ("0", "1")
    ]
    assert {row["state"] for row in table} == {"finished"}
    assert float(table[4]["score"]) == 5
    assert (table[4]["best_epoch"], table[4]["seconds"]) == ("1", "7")
    fits = processes.fits()
    assert all(call[-2:] == ["--trainer.devices", "1"] for call in fits), "one device a trial"
    assert all(call[:4] == ["fit", "--config", "c.yaml", "--config"] for call in fits), "flags come after the overlay"
    assert len({call[call.index("--run_folder") + 1] for call in fits}) == 8
    assert [path.parent.parent.name for path in Path("runs").rglob("best.ckpt")] == ["trial004"], "disks are small"
    output = capsys.readouterr().out
    ranked = [line.split()[0] for line in output.splitlines() if line.strip().endswith("finished")]
    assert ranked[0] == "4"
    assert "--config c.yaml --config runs/c/tune/best.yaml" in output

    config = resolved("c.yaml", "runs/c/tune/best.yaml")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert model["optimizer"]["init_args"]["lr"] == 0.3
    assert model["optimizer"]["class_path"] == "torch.optim.AdamW"
    assert [entry["init_args"]["p"] for entry in data["augmentation"]] == [0.5, 0.0]


def test_a_study_goes_on_and_a_failed_trial_does_not_end_it(here, capsys):
    given = ["--config", "c.yaml", *SPACE]
    cut = Processes(score, lambda v: KeyboardInterrupt() if v["model.optimizer.lr"] == 0.3 else None)
    with pytest.raises(KeyboardInterrupt):
        tune.main(given, cut)
    assert len(rows("runs/c/tune/trials.csv")) == 4, "the table is there after every trial"
    again = Processes(score, lambda v: "out of memory" if v["data.augmentation"][1]["init_args"]["p"] else None)
    tune.main(given, again)
    assert len(again.fits()) == 4, "what is finished is not repeated"
    assert again.fits()[0][-2:] == ["--ckpt_path", "last"], "what was cut off goes on from its last checkpoint"
    table = rows("runs/c/tune/trials.csv")
    assert [row["state"] for row in table] == ["finished"] * 5 + ["failed", "finished", "failed"]
    assert table[5]["reason"] == "RuntimeError: out of memory"
    assert "2 of 8 trials failed" in capsys.readouterr().out
    tune.main(given, third := Processes(score))
    assert third.calls == []
    tune.main([*given, "--retry_failed", "true"], fourth := Processes(score))
    assert len(fourth.fits()) == 2
    assert all("--ckpt_path" not in call for call in fourth.fits()), "from the beginning"
    assert {row["state"] for row in rows("runs/c/tune/trials.csv")} == {"finished"}
    with pytest.raises(SystemExit, match=r"contains a study with flags \[\], not \['--trainer.max_epochs', '2'\]"):
        tune.main([*given, "--trainer.max_epochs", "2"], Processes(score))
    Path("c.yaml").write_text(Path("c.yaml").read_text().replace("loss: bce", "loss: dice"))
    with pytest.raises(SystemExit, match="contains a study with files"):
        tune.main(given, Processes(score))


def test_more_trials_add_to_a_random_study(here):
    given = ["--config", "c.yaml", "--space", "optimizer.lr=1e-3:1.0:log", "--space", "data.augmentation.1.p=0.0:1.0"]
    tune.main([*given, "--trials", "3"], Processes(score))
    first = rows("runs/c/tune/trials.csv")
    tune.main([*given, "--trials", "7"], more := Processes(score))
    table = rows("runs/c/tune/trials.csv")
    assert table[:3] == first
    assert len(more.fits()) == 4
    assert len({row["optimizer.lr"] for row in table}) == 7


def test_trials_side_by_side_have_a_gpu_each(here, monkeypatch):
    monkeypatch.setattr(devices, "visible_devices", lambda text: ["4", "7"])
    processes = Processes(score)
    tune.main(["--config", "c.yaml", *SPACE], processes)
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in processes.environments} == {"4", "7"}
    assert sorted(row["trial"] for row in rows("runs/c/tune/trials.csv")) == [str(number) for number in range(8)]
    assert [row["score"] for row in rows("runs/c/tune/trials.csv")].count("5.000000") == 1


def test_all_trials_failing_ends_it_soon(here):
    processes = Processes(score, lambda values: "no space left")
    with pytest.raises(SystemExit, match="no trial of runs/c/tune finished.*\n.*RuntimeError: no space left"):
        tune.main(["--config", "c.yaml", *SPACE], processes)
    assert len(processes.fits()) == 3


def test_drop_one_has_a_row_per_entry(here, capsys):
    """The noise harms by 0.25, the flip helps by 0.5."""

    def worth(values):
        names = [entry["class_path"] for entry in values["data.augmentation"]]
        return 1 + 0.5 * ("albumentations.HorizontalFlip" in names) - 0.25 * ("albumentations.GaussNoise" in names)

    processes = Processes(worth)
    tune.main(["--config", "c.yaml", "--drop_one", "data.augmentation"], processes)
    table = rows("runs/c/drop_data.augmentation/drop_one.csv")
    assert [(row["without"], row["difference"]) for row in table] == [
        ("nothing", ""),
        ("0 HorizontalFlip", "-0.500000"),
        ("1 GaussNoise", "+0.250000"),
    ]
    flags = [call[call.index("--run_folder") :] for call in processes.fits()]
    assert all(flag[2:] == ["--trainer.devices", "1"] for flag in flags), "seed and fold are those of the config"
    assert yaml.safe_load(Path("runs/c/drop_data.augmentation/best.yaml").read_text()) == {
        "data": {
            "init_args": {
                "augmentation": [
                    tune.resolved(CommandLine.read(["--config", "c.yaml"]).settings)["data"]["init_args"][
                        "augmentation"
                    ][0]
                ]
            }
        }
    }
    assert "GaussNoise" in capsys.readouterr().out
    with pytest.raises(ValueError, match="expected a list with entries"):
        drop_one_axis("data.batch_size", 2)


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        ([], "needs either --space key=values or --drop_one"),
        (["--space", "a=1:2", "--drop_one", "data.augmentation"], "needs either --space key=values or"),
        (["--drop_one", "data.augmentation", "--trials", "3"], "--method and --trials have no effect"),
        (["--space", "optimizer.lr=1:2", "--trials", "0"], "expected 1 or more"),
        (["--space", "optimizer.lr=1:2", "--trainer.devices", "2"], "--trainer.devices is not for tune"),
        (
            ["--space", "optimizer.lr=1:2", "--model.optimizer.lr", "3"],
            "--model.optimizer.lr would override optimizer.lr",
        ),
        (
            ["--space", "data.augmentation.0.p=[0, 1]", "--data.augmentation", "[]"],
            "--data.augmentation would override",
        ),
        (["--space", "optimizer.lrr=1:2"], "has no 'lrr'; did you mean 'lr'"),
        (["--space", "optimizer.lr=1:2", "--data.fold", "all"], "without validation"),
    ],
)
def test_wrong_arguments(extra, match, here):
    with pytest.raises(SystemExit, match=re.escape(match)):
        tune.main(["--config", "c.yaml", *extra], Processes(score))
    assert not Path("runs/c/tune/study.json").is_file()


def test_score_of_a_run(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="no val/score"):
        best_score(run, True)
    text = (
        "time,stage,epoch,step,name,value\n1,fit,0,3,val/score,0.4\n2,fit,1,6,val/score,nan\n3,fit,2,9,val/score,0.7\n"
    )
    (tmp_path / "metrics.csv").write_text(text + "4,fit,3,12,val/score,0.7\n5,validate,9,1,val/score,0.9\n")
    assert best_score(run, True) == (0.7, 2)
    assert best_score(run, False) == (0.4, 0)
    (tmp_path / "metrics.csv").write_text(text.splitlines()[0] + "\n1,fit,0,3,val/score,nan\n")
    with pytest.raises(ValueError, match="was NaN in 1 validations"):
        best_score(run, True)


def test_reason_of_a_failure(tmp_path):
    log = tmp_path / "log"
    assert failure(log, 3) == "fit ended with status 3"
    log.write_text("val: error: 3\nerror: no config file x.yaml\n  more\n")
    assert failure(log, 2) == "error: no config file x.yaml"
    union = "ValueError: Does not validate against any of the Union subtypes\nSubtypes: [a]\nErrors:\n"
    log.write_text(f"Traceback\n{union}  - loss formula: no loss 'dcie'\n      ^\n  - Expected a b\n")
    assert failure(log, 1) == "loss formula: no loss 'dcie'"


# --- real trainings --------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """Two logits from the means of a picture's halves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image.mean((1, 2)).unflatten(1, (2, -1)).mean(2))


def within(arguments, environment=None, log=None):
    """A verb in this process: a whole fit, without the seconds that a process needs to begin."""
    return cli.main(arguments)


def test_a_policy_search_learns_that_flips_harm(tmp_path, monkeypatch):
    """Pictures that are bright on the side which their label names: a flipped one contradicts its label."""
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    lines = ["image_id,side"]
    for number in range(24):
        image = numbers.integers(0, 40, (32, 32, 3), np.uint8)
        image[:, 16 * (number % 2) : 16 * (number % 2) + 16] += 200
        cv2.imwrite(f"data/p{number}.png", image)
        lines.append(f"p{number},{number % 2}")
    Path("data/labels.csv").write_text("\n".join(lines) + "\n")
    Path("c.yaml").write_text(
        """
model:
  class_path: lightning_modules.ClassificationModule
  init_args:
    network: {class_path: MODULE.Linear}
    outputs: [label]
    loss: cross_entropy(label)
    activations: {label: softmax}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.1}}
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: "*.png"
    targets: [{class_path: datamodules.targets.Labels, init_args: {csv: labels.csv, columns: side, classes: 2}}]
    augmentation: [{class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}]
    batch_size: 4
    eval_batch_size: 8
    num_workers: 0
cv: {k: 3}
competition:
  metric: {class_path: evaluation.metrics.Accuracy, init_args: {classes: 2}}
  postprocess: [{class_path: postprocessing.ArgMax}]
trainer: {max_epochs: 2, enable_progress_bar: false, enable_model_summary: false, accelerator: cpu}
panels: 0
""".replace("MODULE", __name__)
    )
    tune.main(["--config", "c.yaml", "--space", "data.augmentation.0.p=0.0:1.0:3"], within)
    table = {float(row["data.augmentation.0.p"]): float(row["score"]) for row in rows("runs/c/tune/trials.csv")}
    assert table[0.0] == 1.0
    assert table[1.0] < 0.5
    best = yaml.safe_load(Path("runs/c/tune/best.yaml").read_text())
    assert best["data"]["init_args"]["augmentation"][0]["init_args"]["p"] < 0.5


@pytest.mark.slow
def test_whole_with_processes(here):
    """A loss that does not exist fails its own trials alone; two at a time."""
    space = ["--space", "optimizer.lr=[0.001, 0.1]", "--space", "loss=[bce, dcie]"]
    tune.main(["--config", "c.yaml", *space, "--jobs", "2", "--devices", "none"], launch)
    table = rows("runs/c/tune/trials.csv")
    assert [row["state"] for row in table] == ["finished", "failed"] * 2
    assert "no loss 'dcie'" in table[1]["reason"]
    assert Path("runs/c/tune/best.yaml").is_file()
