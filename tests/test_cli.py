"""The command line end to end, on a tiny generated competition; the traps of Lightning and jsonargparse."""

import contextlib
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import cli

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.yaml"
SMALL = [
    *("--data.batch_size", "2"),
    *("--data.num_workers", "0"),
    *("--trainer.max_epochs", "2"),
    *("--trainer.check_val_every_n_epoch", "1"),
    *("--trainer.limit_train_batches", "3"),
    *("--trainer.log_every_n_steps", "1"),
    *("--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
    *("--trainer.accelerator", "cpu"),
]


def run(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0


def fit(*extra: str) -> None:
    run("fit", "--config", str(QUICKSTART), *SMALL, *extra)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which `folds` and `fit` have run."""
    folder = tmp_path_factory.mktemp("competition")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from datamodules.quickstart import Nuclei

        Nuclei(train=10, test=3).write(folder / "data" / "quickstart")
        run("folds", "--config", str(QUICKSTART), "--cv.k", "3")
        fit()
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def state(folder: Path) -> dict[str, bytes]:
    """Content of what only `fit` may write."""
    run_folder = folder / "runs" / "quickstart" / "fold0"
    names = ["config.yaml", "run.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"]
    return {name: (run_folder / name).read_bytes() for name in names}


# --- help and errors -------------------------------------------------------------------------------------------------


def test_help_lists_every_verb_and_imports_nothing_heavy():
    code = "import sys, cli; cli.main(['--help']); print('torch' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.endswith("False False\n")
    for verb, line in cli.VERBS.items():
        assert f"  {verb}" in out
        assert line in out


def test_help_of_fit_does_not_wait_for_the_libraries_of_networks():
    heavy = "{'timm', 'albumentations', 'kornia', 'monai'}"
    code = f"import sys, commands.command_line.training; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("verb", ["fit", "search", "ensemble", "adversarial", "run"])
def test_help_says_what_the_verb_does_and_takes(verb, capsys):
    with contextlib.suppress(SystemExit):  # argparse's way to end
        cli.main([verb, "--help"])
    out = capsys.readouterr().out
    assert out.startswith(f"{verb}: {cli.VERBS[verb]}\n")
    assert f"usage: python cli.py {verb} " in out


def test_unknown_verb(capsys):
    assert cli.main(["fitt"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown verb 'fitt'")


def first_line_of_error(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    text = capsys.readouterr().err or str(ended.value.code)
    assert len(text.splitlines()) < 15, text
    return text.splitlines()[0]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (["--data.batchsize", "4"], "batchsize"),
        (["--trainer.max_epoch", "4"], "max_epoch"),
        (["--model.network.class_path", "segmentation_models_pytorch.Unett"], "Unett"),
        (["--model.optimizer.init_args.learning_rate", "1"], "learning_rate"),
        (["--data.batch_size", "many"], "many"),
    ],
)
def test_a_typo_prints_its_cause_first(flag, expected, here, capsys):
    line = first_line_of_error(capsys, "fit", "--config", str(QUICKSTART), *flag)
    assert line.startswith("error: ")
    assert expected in line


@pytest.mark.parametrize("verb", ["folds", "fit"])
def test_what_a_constructor_refuses_is_said_in_its_own_words(verb, tmp_path, monkeypatch):
    """Not below a hundred lines of the parser's, which end with the whole config."""
    monkeypatch.chdir(tmp_path)
    target = "[{class_path: datamodules.targets.Labels, init_args: {columns: [label]}}]"
    with pytest.raises((ValueError, SystemExit)) as told:
        cli.main([verb, "--config", str(QUICKSTART), f"--data.targets={target}"])
    cause = "Labels: classes is not set; set it, or data.classes, to the class names in order, or their number"
    assert str(told.value).removeprefix("error: ") == cause


def test_flags_before_the_config_get_a_hint(capsys):
    assert "before --config" in first_line_of_error(capsys, "fit", "--data.fold", "1", "--config", str(QUICKSTART))


def test_missing_config_file(capsys):
    assert "nothing.yaml" in first_line_of_error(capsys, "fit", "--config", "nothing.yaml")
    assert "nothing.yaml" in first_line_of_error(capsys, "folds", "--config", "nothing.yaml")


# --- one run folder, every verb --------------------------------------------------------------------------------------


def test_fit_writes_the_run_folder(here):
    run_folder = here / "runs" / "quickstart" / "fold0"
    config = yaml.safe_load((run_folder / "config.yaml").read_text())
    assert config["experiment"] == "quickstart"
    assert config["ckpt_path"] is None
    facts = json.loads((run_folder / "run.json").read_text())
    assert facts["state"] == "finished"
    assert facts["folds_hash"]
    names = {row["name"] for row in csv.DictReader(open(run_folder / "metrics.csv"))}
    assert {"train/loss", "train/dice(body)", "val/loss", "val/score", "val/DicePerImage"} <= names
    scores = list(csv.DictReader(open(run_folder / "scores.csv")))
    assert len(scores) in (3, 4)
    assert (run_folder / "curves.png").is_file()
    assert sorted(path.name for path in (run_folder / "panels").iterdir()) == [
        "epoch_000.png",
        "epoch_001.png",
        "train_batch.png",
    ]
    assert [float(row["score"]) for row in scores] == sorted(float(row["score"]) for row in scores)


def test_a_run_keeps_a_copy_of_its_folds(here):
    copy = Path("runs/quickstart/fold0/folds.csv")
    assert copy.read_bytes() == Path("folds/quickstart.csv").read_bytes()


def test_parts_of_the_loss_sum_to_the_total(here):
    rows = list(csv.DictReader(open(here / "runs" / "quickstart" / "fold0" / "metrics.csv")))
    step = next(row["step"] for row in rows if row["name"] == "train/dice(body)")
    values = {row["name"]: float(row["value"]) for row in rows if row["step"] == step and row["stage"] == "fit"}
    parts = [value for name, value in values.items() if name.startswith("train/") and name != "train/loss"]
    assert len(parts) == 4
    assert sum(parts) == pytest.approx(values["train/loss"], rel=1e-4)


def test_later_verbs_run_and_leave_the_fit_alone(here, capsys):
    before = state(here)
    run("validate", "runs/quickstart/fold0", *SMALL[-6:])
    run("predict", "runs/quickstart/fold0", *SMALL[-6:])
    run("search", "runs/quickstart", "--sweeps", "1")
    assert Path("runs/quickstart/search.png").is_file()
    run("test", "runs/quickstart/fold0", *SMALL[-6:])
    run("score", "runs/quickstart")
    run("submit", "runs/quickstart", "--output", "sub.csv")
    run("score", "sub.csv", "--config", "runs/quickstart/fold0/config.yaml")
    assert state(here) == before
    ids = {row["ImageId"] for row in csv.DictReader(open(here / "sub.csv"))}
    sample = csv.DictReader(open(here / "data" / "quickstart" / "stage1_sample_submission.csv"))
    assert ids == {row["ImageId"] for row in sample}
    assert "next:" in capsys.readouterr().out


def test_a_second_fit_does_not_destroy_the_first(here, capsys):
    before = state(here)
    assert "already contains a trained run" in first_line_of_error(capsys, "fit", "--config", str(QUICKSTART), *SMALL)
    assert state(here) == before


@pytest.mark.parametrize(
    ("flag", "error"),
    [
        (["--model.loss", "bce(body) + dicee(body)"], ValueError),
        (["--data.images", "nowhere/*.png"], FileNotFoundError),
        (["--data.folds", "nowhere.csv"], FileNotFoundError),
    ],
)
def test_a_fit_that_cannot_start_does_not_drop_the_run_it_should_replace(flag, error, here):
    before = state(here)
    with pytest.raises(error):
        fit("--overwrite", "true", *flag)
    assert state(here) == before


def test_best_checkpoint_in_a_new_process(here):
    command = [sys.executable, str(ROOT / "cli.py"), "validate", "runs/quickstart/fold0", "--ckpt_path", "best"]
    result = subprocess.run([*command, *SMALL[-6:]], cwd=here, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "validate: score" in result.stdout


def test_explicit_settings_beat_the_checkpoint(here):
    """Resume with another learning rate: stock Lightning would silently take the checkpoint's settings."""
    extra = ["--experiment", "other", "--trainer.max_epochs", "3", "--model.inference.tta", "none"]
    fit(*extra, "--ckpt_path", "runs/quickstart/fold0/checkpoints/last.ckpt")
    config = yaml.safe_load(Path("runs/other/fold0/config.yaml").read_text())
    assert config["model"]["init_args"]["inference"]["init_args"]["tta"] == "none"
    checkpoint = torch.load("runs/other/fold0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["model"]["init_args"]["inference"]["init_args"]["tta"] == "none"
    assert checkpoint["epoch"] == 2
    assert checkpoint["global_step"] == 9


def test_keys_of_their_own_for_callbacks(here):
    fit(
        *("--experiment", "keys", "--early_stopping.patience", "3"),
        *("--checkpoint.save_top_k", "2", "--checkpoint.filename", "{epoch}", "--ema.decay", "0.9"),
    )
    config = yaml.safe_load(Path("runs/keys/fold0/config.yaml").read_text())
    assert config["early_stopping"]["init_args"]["patience"] == 3
    assert config["early_stopping"]["init_args"]["monitor"] == "val/score"
    assert config["ema"]["init_args"]["decay"] == 0.9
    assert len(list(Path("runs/keys/fold0/checkpoints").glob("*.ckpt"))) == 4


def test_training_on_all_rows_monitors_nothing(here):
    fit("--experiment", "everything", "--data.fold", "all", "--trainer.limit_val_batches", "0")
    names = [path.name for path in Path("runs/everything/all/checkpoints").glob("*.ckpt")]
    assert set(names) == {"last.ckpt", "last-1.ckpt"}


def test_a_truncated_checkpoint_is_named(here):
    whole = Path("runs/quickstart/fold0/checkpoints/best.ckpt").read_bytes()
    Path("half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.ckpt is damaged .* its end is missing"):
        run("validate", "runs/quickstart/fold0", "--ckpt_path", "half.ckpt", *SMALL[-6:])


def test_a_run_folder_that_cannot_be_written(here, capsys):
    Path("occupied").write_text("a file where the folder should be")
    arguments = ["fit", "--config", str(QUICKSTART), *SMALL, "--runs", "occupied"]
    assert "cannot write to the run folder occupied" in first_line_of_error(capsys, *arguments)


def test_wrong_channels_are_named_before_training(here):
    with pytest.raises(ValueError, match="the network expects 4 channels, but the images have 3; set in_channels"):
        fit("--experiment", "four", "--model.network.init_args.in_channels", "4")


# --- the checkpoint alone --------------------------------------------------------------------------------------------


def test_load_gives_what_predict_wrote(here):
    from experiments import load
    from predictions.store import PredictionStore

    run("predict", "runs/quickstart/fold0", *SMALL[-6:])
    predictor = load("runs/quickstart/fold0/checkpoints/best.ckpt")
    store = PredictionStore.open(Path("runs/quickstart/fold0/predictions/test"))
    from datamodules.readers import ImageReader

    for image_id in store.ids():
        path = here / "data" / "quickstart" / "stage1_test" / image_id / "images" / f"{image_id}.png"
        row = type("Row", (), {"image_id": image_id, "path": str(path)})()
        result = predictor(ImageReader().read(row))
        for name, stored in store.read(image_id).items():
            # bf16 autocast is the Trainer's, not the function's: the two agree to its precision
            assert np.abs(stored - result[name]).mean() < 0.02


def test_a_checkpoint_never_asks_a_hub(here, monkeypatch):
    """encoder_weights in the config, none of it tried when the weights come from a checkpoint."""
    import socket

    def refuse(*arguments, **keywords):
        raise AssertionError("the network was tried")

    run_folder = here / "runs" / "hub" / "fold0"
    (run_folder / "checkpoints").mkdir(parents=True)
    source = here / "runs" / "quickstart" / "fold0"
    text = (source / "config.yaml").read_text().replace("encoder_weights: null", "encoder_weights: imagenet")
    assert "imagenet" in text
    (run_folder / "config.yaml").write_text(text)
    (run_folder / "checkpoints" / "best.ckpt").write_bytes((source / "checkpoints" / "best.ckpt").read_bytes())
    monkeypatch.setattr(socket.socket, "connect", refuse)
    run("validate", "runs/hub/fold0", *SMALL[-6:])


# --- interruption ----------------------------------------------------------------------------------------------------


def test_predict_goes_on_where_it_was_killed(here, monkeypatch):
    from lightning_modules import SegmentationModule
    from predictions.store import PredictionStore

    run("predict", "runs/quickstart/fold0", *SMALL[-6:])
    folder = Path("runs/quickstart/fold0/predictions")
    whole = {
        split: {i: PredictionStore.open(folder / split).read(i) for i in PredictionStore.open(folder / split).ids()}
        for split in ("val", "test")
    }
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()

    calls = 0
    original = SegmentationModule.predict_step

    def dies(self, *arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(SegmentationModule, "predict_step", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cli.main(["predict", "runs/quickstart/fold0", *SMALL[-6:]])
    with pytest.raises(Exception, match="predict"):
        PredictionStore.open(folder / "val")
    calls = 10
    run("predict", "runs/quickstart/fold0", *SMALL[-6:])
    total = sum(len(entries) for entries in whole.values())
    assert calls - 10 == total - 2, "images that were already written are not predicted again"
    for split, entries in whole.items():
        store = PredictionStore.open(folder / split)
        assert store.ids() == sorted(entries)
        for image_id, arrays in entries.items():
            for name, array in store.read(image_id).items():
                np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("verb", ["fit", "validate", "predict"])
def test_changed_folds_are_refused(here, verb):
    """Each would validate on images that the run was trained on; the predictions that are there stay."""
    path, folder = here / "folds" / "quickstart.csv", Path("runs/quickstart/fold0")
    before = path.read_text()
    kept = {file: file.read_bytes() for file in (folder / "predictions").rglob("*") if file.is_file()}
    kept |= {folder / name: (folder / name).read_bytes() for name in ("run.json", "config.yaml", "folds.csv")}
    try:
        lines = before.splitlines()
        head, rows = lines[0], [line.split(",") for line in lines[1:]]
        for row in rows:
            row[1] = str((int(row[1]) + 1) % 3)
        path.write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n")
        again = ["--config", str(QUICKSTART), *SMALL, "--ckpt_path", "last", "--trainer.max_epochs", "3"]
        arguments = again if verb == "fit" else [str(folder), *SMALL[-6:]]
        with pytest.raises(ValueError, match=r"the folds have changed since this run started: folds/quickstart\.csv"):
            run(verb, *arguments)
        assert {file: file.read_bytes() for file in kept} == kept
        if verb == "predict":  # a test set has nothing to do with folds
            run(verb, str(folder), *SMALL[-6:], "--data.predict_split", "[test]")
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("flags", "train", "val"),
    [
        (["--trainer.limit_train_batches", "1"], 1, None),
        (["--trainer.limit_train_batches", "1.0"], 3, None),
        (["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"], 2, 1),
        (["--trainer.limit_val_batches", "0.5"], None, 2),
        (["--trainer.overfit_batches", "1"], 1, 1),
    ],
)
def test_one_is_one_batch(here, monkeypatch, flags, train, val):
    """And 1.0 is all of them: what the loops of a run really do."""
    from lightning_modules import SegmentationModule

    steps = {"train": 0, "val": 0}

    def counted(stage, original):
        def step(self, *arguments, **settings):
            steps[stage] += 1
            return original(self, *arguments, **settings)

        return step

    for stage, name in (("train", "training_step"), ("val", "validation_step")):
        monkeypatch.setattr(SegmentationModule, name, counted(stage, getattr(SegmentationModule, name)))
    own = ["--trainer.max_epochs", "1", "--trainer.num_sanity_val_steps", "0", "--experiment", "limits"]
    arguments = [*SMALL, *own, "--overwrite", "true", "--data.samples_per_image", "1"]
    place = arguments.index("--trainer.limit_train_batches")
    arguments = arguments[:place] + arguments[place + 2 :]
    run("fit", "--config", str(QUICKSTART), *arguments, *flags)
    assert train is None or steps["train"] == train
    assert val is None or steps["val"] == val
