from pathlib import Path

import pytest

from experiments.arguments import changes, check_order, config_files, expand_run, experiment_name
from files.nested import flatten


def test_a_run_folder_stands_for_its_config(tmp_path):
    (tmp_path / "config.yaml").touch()
    expanded = expand_run([str(tmp_path), "--x", "1"])
    assert expanded == ["--config", str(tmp_path / "config.yaml"), "--run_folder", str(tmp_path), "--x", "1"]
    with pytest.raises(SystemExit, match="no run folder"):
        expand_run([str(tmp_path / "nothing")])


def test_flags_before_the_config_get_a_hint():
    with pytest.raises(SystemExit, match=r"--data\.fold stands before --config"):
        check_order(["--data.fold", "1", "--config", "a.yaml"])
    check_order(["--config", "a.yaml", "--config", "b.yaml", "--data.fold", "1"])


def test_a_preset_before_the_config_gets_a_hint(tmp_path):
    config, preset, apart = (str(tmp_path / name) for name in ("config.yaml", "preset.yaml", "apart.yaml"))
    Path(config).write_text("data: {class_path: D}\ntrainer: {max_epochs: 24}\n")
    Path(preset).write_text("trainer: {max_epochs: 1}\n")
    Path(apart).write_text("seed_everything: 3\n")
    with pytest.raises(SystemExit) as ended:
        check_order(["--config", preset, "--config", config])
    assert str(ended.value) == (
        f"error: {preset} stands before {config}, which overrides its trainer.max_epochs; the competition's config "
        f"comes first: --config {config} --config {preset}"
    )
    check_order(["--config", config, "--config", preset])
    check_order(["--config", apart, "--config", config])


def test_config_files_and_name():
    arguments = ["--config", "configs/a.yaml", "-c", "b.yaml", "--config=c.yaml", "--x", "1"]
    assert [path.name for path in config_files(arguments)] == ["a.yaml", "b.yaml", "c.yaml"]
    assert experiment_name(arguments) == "a"


def test_flatten_leaves_out_init_args():
    assert flatten({"data": {"class_path": "D", "init_args": {"fold": 0}}}) == {"data.class_path": "D", "data.fold": 0}


def test_changes_of_a_second_config_and_of_flags(tmp_path):
    (tmp_path / "a.yaml").write_text("data: {init_args: {batch_size: 16, fold: 0}}\n")
    (tmp_path / "b.yaml").write_text("data: {init_args: {batch_size: 8}}\n")
    arguments = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml"), "--data.fold", "2"]
    assert changes(arguments) == ["data.batch_size: 16 -> 8", "data.fold: 0 -> 2"]
