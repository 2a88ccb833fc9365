"""Configs and flags of a training."""

from pathlib import Path

import pytest

from experiments.fit_settings import FitSettings, Flag


@pytest.fixture
def given(tmp_path):
    (tmp_path / "a.yaml").write_text("data: {init_args: {batch_size: 16, fold: 0}}\nexperiment: first\n")
    (tmp_path / "b.yaml").write_text("data: {init_args: {batch_size: 8}}\n")
    return FitSettings((tmp_path / "a.yaml", tmp_path / "b.yaml"), (Flag("--data.init_args.fold", "2"),))


def test_changes_of_a_second_config_and_of_flags(given):
    assert given.changes() == ["data.batch_size: 16 -> 8", "data.fold: 0 -> 2"]


def test_flags_beat_later_configs_and_these_earlier_ones(given):
    assert given.setting("data.fold") == "2"
    assert given.setting("data.batch_size") == 8
    assert given.setting("experiment") == "first"
    assert given.setting("data.root", "nowhere") == "nowhere"
    assert given.with_flags({"data.fold": 3}).setting("data.fold") == "3", "of two flags the last counts"


def test_folders_follow_from_the_settings(given):
    assert given.run_folder() == Path("runs/first/fold2")
    assert given.with_flags({"runs": "x", "experiment": "y"}).run_folder() == Path("x/y/fold2")
    assert given.with_flags({"run_folder": "z"}).run_folder() == Path("z")
    assert given.folds_file() == Path("folds/a.csv")


def test_offline_verbs_get_what_they_know(given):
    flags = {"trainer.max_epochs": 1, "data.root": "r", "database": 1, "cv.k": 3, "ema": "null"}
    kept = [flag.key for flag in given.with_flags(flags).offline().flags]
    assert kept == ["data.fold", "data.root", "cv.k"]
    assert given.without("data.fold").flags == ()
