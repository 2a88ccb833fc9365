import pytest

from experiments.run_folder import RunFolder, fold_name, fold_runs


def test_best_falls_back_to_last_and_missing_is_named(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="train first"):
        run.checkpoint("best")
    run.checkpoints.mkdir()
    (run.checkpoints / "last.ckpt").touch()
    assert run.checkpoint("best").name == "last.ckpt"
    (run.checkpoints / "best.ckpt").touch()
    assert run.checkpoint("best").name == "best.ckpt"
    with pytest.raises(FileNotFoundError, match="file not found"):
        run.checkpoint("other.ckpt")


def test_best_of_several_is_that_of_the_facts(tmp_path):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    for name in ("last.ckpt", "3.ckpt", "7.ckpt"):
        (run.checkpoints / name).touch()
    assert run.checkpoint("best").name == "last.ckpt"
    run.write_facts(best="3.ckpt")
    assert run.checkpoint("best").name == "3.ckpt"
    assert run.checkpoint("last").name == "last.ckpt"


def test_facts_accumulate(tmp_path):
    run = RunFolder(tmp_path / "new")
    assert run.read_facts() == {}
    run.write_facts(commit="abc")
    run.write_facts(state="finished")
    assert run.read_facts() == {"commit": "abc", "state": "finished"}


def test_runs_of_an_experiment(tmp_path):
    for fold in (0, 1):
        (tmp_path / fold_name(fold)).mkdir()
        (tmp_path / fold_name(fold) / "config.yaml").touch()
    (tmp_path / "notes").mkdir()
    assert [run.path.name for run in fold_runs(tmp_path)] == ["fold0", "fold1"]
    assert [run.path.name for run in fold_runs(tmp_path / "fold1")] == ["fold1"]
    with pytest.raises(FileNotFoundError, match="no run"):
        fold_runs(tmp_path / "notes")
    assert fold_name("all") == "all"
