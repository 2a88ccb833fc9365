"""Every shipped YAML parses, builds, and takes two training steps; the README's commands exist."""

import re
from pathlib import Path

import pytest
import yaml

import cli

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = [ROOT / "configs" / name for name in ("dsb2018.yaml", "quickstart.yaml")]  # others: tests/configs
PRESETS = sorted((ROOT / "configs" / "presets").glob("*.yaml"))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Flags that make any nuclei config small: its own generated data, tiny crops, two steps."""
    monkeypatch.chdir(tmp_path)
    from datamodules.quickstart import Nuclei

    Nuclei(train=8, test=2).write(tmp_path / "data")
    crop = [{"class_path": "albumentations.RandomCrop", "init_args": {"height": 64, "width": 64}}]
    flags = {
        "data.root": str(tmp_path / "data"),
        "data.augmentation": yaml.safe_dump(crop, default_flow_style=True).strip(),
        "data.batch_size": 2,
        "data.num_workers": 0,
        "trainer.max_epochs": 1,
        "trainer.check_val_every_n_epoch": 1,
        "trainer.limit_train_batches": 2,
        "trainer.limit_val_batches": 1,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
    }
    return [part for key, value in flags.items() for part in (f"--{key}", str(value))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_two_steps(config, small):
    arguments = ["--config", str(config)]
    assert cli.main(["folds", *arguments, "--data.root", "data", "--cv.k", "2"]) == 0
    assert cli.main(["fit", *arguments, *small]) == 0
    assert (Path("runs") / config.stem / "fold0" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_preset_parses_as_an_overlay(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = ROOT / "configs" / "quickstart.yaml"
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", str(base), "--config", str(preset), "--print_config"])
    assert ended.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert_contains(printed, yaml.safe_load(preset.read_text()))


# In the default run the one with the deepest nesting.
AUGMENTATIONS = [
    path if path.stem == "augmentation_stages" else pytest.param(path, marks=pytest.mark.slow)
    for path in PRESETS
    if path.stem.startswith("augmentation")
]


@pytest.mark.parametrize("preset", AUGMENTATIONS, ids=lambda path: path.stem)
def test_augmentation_preset_trains_and_its_saved_config_is_the_same(preset, small):
    """Nested classes survive saving: the run's own config gives the same augmentation again."""
    base = ["--config", str(ROOT / "configs" / "quickstart.yaml")]
    where = small.index("--data.augmentation")
    flags = small[:where] + small[where + 2 :]
    assert cli.main(["folds", *base, "--data.root", "data", "--cv.k", "2"]) == 0
    arguments = [*base, "--config", str(preset), *flags, "--experiment", "one"]
    assert cli.main(["fit", *arguments]) == 0
    saved = yaml.safe_load(Path("runs/one/fold0/config.yaml").read_text())
    again = ["--config", "runs/one/fold0/config.yaml", "--experiment", "two", "--trainer.limit_train_batches", "1"]
    assert cli.main(["fit", *again]) == 0
    reloaded = yaml.safe_load(Path("runs/two/fold0/config.yaml").read_text())
    for part in ("data", "model"):
        assert saved[part]["init_args"]["augmentation"] == reloaded[part]["init_args"]["augmentation"]


def test_old_names_of_albumentations_are_told_their_new_ones(small, capsys):
    steps = [
        {"class_path": "albumentations.GaussNoise", "init_args": {"var_limit": [10, 50]}},
        {"class_path": "albumentations.OneOf", "init_args": {"transforms": [{"class_path": "albumentations.Flip"}]}},
        {"class_path": "albumentations.HorizontalFlp"},
    ]
    Path("old.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"augmentation": steps}}}))
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", str(ROOT / "configs/quickstart.yaml"), "--config", "old.yaml"])
    message = str(ended.value)
    assert "data.augmentation[0]: GaussNoise has no var_limit in albumentations 2, use std_range" in message
    assert "data.augmentation[1].transforms[0]: albumentations 2 has no Flip, use HorizontalFlip" in message
    assert "data.augmentation[2]: albumentations has no HorizontalFlp, did you mean HorizontalFlip?" in message


def assert_contains(whole, part):
    """Every key of the overlay has arrived in the whole config."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert_contains(whole[key], value)
    elif isinstance(part, list):
        assert len(whole) == len(part)
        for one, other in zip(whole, part, strict=True):
            assert_contains(one, other)
    else:
        assert whole == part


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    verbs = set(re.findall(r"python cli\.py (\w+)", text))
    assert verbs
    assert verbs <= set(cli.VERBS)
    for config in re.findall(r"configs/[\w/]+\.yaml", text):
        assert (ROOT / config).is_file(), config


def test_ci_runs_the_readme_test_command():
    command = 'pip install -e ".[test]" && pytest'
    assert command in (ROOT / "README.md").read_text()
    assert command in (ROOT / ".ci" / "run").read_text()
