"""What training and offline verbs make of several configs and of null."""

from pathlib import Path

import pytest
import yaml

import cli
from commands.command_line.command_line import CommandLine
from commands.command_line.fit_config import arguments_of

OTHER = """
model:
  init_args:
    network: {class_path: segmentation_models_pytorch.FPN, init_args: {encoder_name: resnet18, encoder_weights: null}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config):
    monkeypatch.chdir(tmp_path)
    network = {"class_path": "segmentation_models_pytorch.Unet"}
    network["init_args"] = {"encoder_name": "resnet18", "decoder_channels": [8, 8, 8, 8, 8], "encoder_depth": 5}
    content = pixel_config()
    content["model"]["init_args"]["network"] = network
    Path("x.yaml").write_text(yaml.safe_dump(content))
    Path("other.yaml").write_text(OTHER)
    Path("old.yaml").write_text("data: {init_args: {augmentation: [{class_path: albumentations.Cutout}]}}")


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["fit", "--config", "x.yaml", *arguments, "--print_config"])
    assert not ended.value.code
    return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]


@pytest.mark.parametrize("key", ["model.network.encoder_weights", "model.init_args.network.init_args.encoder_weights"])
def test_null_of_a_nested_class_is_null(here, capsys, key):
    found = printed(capsys, f"--{key}", "null", "--model.init_from", "null")
    assert found["network"]["init_args"]["encoder_weights"] is None
    assert found["init_from"] is None


def test_a_second_config_with_another_class_starts_from_its_defaults(here, capsys):
    found = printed(capsys, "--config", "other.yaml")["network"]
    assert found["class_path"] == "segmentation_models_pytorch.FPN"
    assert found["init_args"]["encoder_weights"] is None
    assert "decoder_channels" not in found["init_args"]


def test_configs_that_need_no_change_are_passed_by_path(here):
    line = CommandLine.read(["--config", "x.yaml", "--config", "missing.yaml", "--panels", "3"])
    expected = ["--config", "x.yaml", "--config", "missing.yaml", "--panels", "3"]
    assert arguments_of(line.settings) == expected


@pytest.mark.parametrize("verb", ["fit", "folds", "explore", "search"])
def test_every_verb_tells_old_names_of_albumentations(here, verb):
    with pytest.raises(SystemExit, match=r"albumentations 2 has no Cutout, use CoarseDropout\("):
        cli.main([verb, "--config", "x.yaml", "--config", "old.yaml"])
