"""Training verbs on an experiment folder."""

import pytest

from commands.command_line import every_fold


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """An experiment of two folds, and the commands launched for it, of which the one of fold 1 fails."""
    commands = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(every_fold, "launch", lambda command: commands.append(command) or 3 * ("fold1" in command[1]))
    for fold in ("fold0", "fold1", "fold2"):
        (tmp_path / "runs/a" / fold).mkdir(parents=True)
        (tmp_path / "runs/a" / fold / "config.yaml").touch()
    return commands


def test_each_fold_has_a_process_until_one_fails(launched):
    with pytest.raises(SystemExit) as ended:
        every_fold.main_of_folds("predict", ["runs/a", "--data.batch_size", "2"])
    assert ended.value.code == 3
    assert launched == [["predict", f"runs/a/fold{fold}", "--data.batch_size", "2"] for fold in (0, 1)]


@pytest.mark.parametrize(
    ("folders", "told"), [(["runs/a", "runs/b"], "runs/b; expected one folder"), (["runs/c"], "runs/c is not a folder")]
)
def test_no_folder_is_left_out_in_silence(launched, folders, told):
    with pytest.raises(SystemExit, match=told):
        every_fold.main_of_folds("predict", folders)
    assert not launched
