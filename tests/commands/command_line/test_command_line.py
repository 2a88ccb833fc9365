"""What follows a verb, taken apart."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.command_line.command_line import CommandLine
from commands.command_line.training import with_run


def settings(*arguments):
    return CommandLine.read(list(arguments)).settings


def test_a_run_folder_stands_for_its_config(tmp_path):
    (tmp_path / "config.yaml").touch()
    found = with_run(CommandLine.read([str(tmp_path), "--x", "1"]))
    config = str(tmp_path / "config.yaml")
    assert found.arguments() == ["--config", config, "--run_folder", str(tmp_path), "--x", "1"]
    with pytest.raises(SystemExit, match="not a run folder"):
        with_run(CommandLine.read([str(tmp_path / "nothing")]))
    with pytest.raises(SystemExit, match="unrecognized arguments: other"):
        with_run(CommandLine.read([str(tmp_path), "other"]))


def test_flags_before_the_config_get_a_hint():
    with pytest.raises(SystemExit, match=r"--data\.fold comes before --config"):
        CommandLine.read(["--data.fold", "1", "--config", "a.yaml"])
    CommandLine.read(["--config", "a.yaml", "--config", "b.yaml", "--data.fold", "1"])


def test_a_preset_before_the_config_gets_a_hint(tmp_path):
    config, preset, apart = (str(tmp_path / name) for name in ("config.yaml", "preset.yaml", "apart.yaml"))
    Path(config).write_text("data: {class_path: D}\ntrainer: {max_epochs: 24}\n")
    Path(preset).write_text("trainer: {max_epochs: 1}\n")
    Path(apart).write_text("seed_everything: 3\n")
    with pytest.raises(SystemExit) as ended:
        CommandLine.read(["--config", preset, "--config", config])
    assert str(ended.value) == (
        f"error: {preset} comes before {config}, which overrides its trainer.max_epochs; the competition's config "
        f"must come first: --config {config} --config {preset}"
    )
    CommandLine.read(["--config", config, "--config", preset])
    CommandLine.read(["--config", apart, "--config", config])


def test_config_files_and_name():
    found = settings("--config", "configs/a.yaml", "-c", "b.yaml", "--config=c.yaml", "--x", "1")
    assert [path.name for path in found.configs] == ["a.yaml", "b.yaml", "c.yaml"]
    assert found.name == "a"


def test_folders_stand_anywhere_but_where_a_value_is():
    line = CommandLine.read(["runs/a", "--output", "x", "runs/b", "--score=false", "runs/c", "--seed", "-1"])
    assert line.paths == ("runs/a", "runs/b", "runs/c")
    assert {flag.key: flag.value for flag in line.settings.flags} == {"output": "x", "score": "false", "seed": "-1"}


def test_own_flags_and_those_of_fit():
    line = CommandLine.read(["--config", "a.yaml", "--jobs=2", "--data.init_args.fold", "1", "--space+", "x=1:2"])
    assert line.own(["jobs", "space"]) == ["--jobs=2", "--space+", "x=1:2"]
    assert line.others(["jobs", "space"]).arguments() == ["--config", "a.yaml", "--data.init_args.fold", "1"]


NAMES = st.from_regex(r"--[a-z][a-z_.]{0,8}", fullmatch=True).filter(lambda name: name not in ("--config", "--help"))
VALUES = st.text("abc019[]=.:, {}", min_size=1, max_size=8) | st.just("-1.5")


@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6))
def test_nothing_is_lost_or_changed(flags):
    """Both ways to write a flag give the same key and value, and come out as they went in."""
    arguments = ["--config", "a.yaml"]
    for name, value, joined in flags:
        arguments += [f"{name}={value}"] if joined else [name, value]
    found = settings(*arguments)
    assert found.arguments() == arguments
    assert [(flag.name, flag.value) for flag in found.flags] == [(name, value) for name, value, _ in flags]
