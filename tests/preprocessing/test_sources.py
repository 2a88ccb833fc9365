"""What predictions were made from is told by contents: not by names, places or times."""

import os
import shutil

import pytest

from preprocessing import sources
from preprocessing.sources import (
    Inputs,
    Looking,
    check_checkpoint,
    checkpoint_mark,
    find_checkpoint,
    look,
    others,
    untouched,
)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "data" / "test"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 100)
    return {name: Inputs([folder / name]) for name in "abc"}


def test_only_other_contents_are_others(images, tmp_path):
    before = look(images, {})
    for inputs in images.values():
        os.utime(inputs.files[0], (1, 1))
    assert others(before, look(images, before)) == []
    moved = shutil.copytree(tmp_path / "data", tmp_path / "moved")
    there = {name: Inputs([moved / "test" / name]) for name in images}
    assert others(before, look(there, before)) == []
    (moved / "test" / "b").write_bytes(b"B" * 100)  # of the same size
    assert others(before, look(there, before)) == ["b"]
    (moved / "test" / "c").unlink()
    assert others(before, look(there, before)) == ["b", "c"]
    fed = {name: Inputs(inputs.files, "[30.0]") for name, inputs in images.items()}
    assert others(before, look(fed, before)) == ["a", "b", "c"]


def test_bytes_are_read_only_of_files_that_were_touched(images, monkeypatch):
    before, read = look(images, {}), []
    whole = sources.file_hash
    monkeypatch.setattr(sources, "file_hash", lambda path: read.append(os.path.basename(path)) or whole(path))
    assert look(images, before) == before
    assert read == []
    # Replaced by a file of the same size and time of modification, as an archive brings it: ctime tells.
    file = images["b"].files[0]
    times = file.stat()
    file.write_bytes(b"B" * 100)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert others(before, look(images, before)) == ["b"]
    assert read == ["b"]


def test_a_thread_sees_what_a_look_sees_and_its_error_is_not_lost(images, monkeypatch):
    assert Looking(images).result() == look(images, {})
    monkeypatch.setattr(sources, "file_hash", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Looking(images).result()


def test_a_quick_look_sees_new_files_in_their_folders(images, tmp_path):
    seen = look(images, {})
    folders = sources.folders_of(seen)
    assert untouched(seen, folders)
    late = tmp_path / "data" / "test" / "d"
    late.touch()
    assert not untouched(seen, folders)
    folders = sources.folders_of(seen)
    assert untouched(seen, folders)
    (tmp_path / "data" / "patient").mkdir()  # a folder beside them
    assert not untouched(seen, folders)
    late.unlink()
    images["a"].files[0].touch()
    assert not untouched(seen, sources.folders_of(seen))


def write_checkpoints(run, **contents):
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (run / "checkpoints" / f"{name}.ckpt").write_text(text)


def test_another_best_checkpoint_makes_old_results(tmp_path):
    run, store = tmp_path / "fold0", tmp_path / "fold0" / "predictions" / "val"
    write_checkpoints(run, best="one", last="two")
    made_with = {name: checkpoint_mark(run, name, find_checkpoint(run, name), store) for name in ("best", "last")}
    for mark in made_with.values():
        check_checkpoint(mark, store)
    write_checkpoints(run, best="one")  # written again, as copying a folder does
    check_checkpoint(made_with["best"], store)
    write_checkpoints(run, best="three")
    with pytest.raises(ValueError, match=r"val was predicted with another checkpoint than .*best.ckpt"):
        check_checkpoint(made_with["best"], store)
    check_checkpoint(made_with["last"], store)
    # The folder of all runs may move.
    moved = tmp_path / "elsewhere" / "fold0"
    shutil.copytree(run, moved)
    check_checkpoint(made_with["last"], moved / "predictions" / "val")


def test_the_best_of_several_is_the_one_of_now(tmp_path):
    run, store = tmp_path / "fold0", tmp_path / "fold0" / "predictions" / "val"
    write_checkpoints(run, **{"3": "three", "7": "seven"})
    (run / "run.json").write_text('{"best": "3.ckpt"}')
    mark = checkpoint_mark(run, "best", find_checkpoint(run, "best"), store)
    check_checkpoint(mark, store)
    (run / "run.json").write_text('{"best": "7.ckpt"}')  # the old one is still there
    with pytest.raises(ValueError, match=r"current .*7.ckpt"):
        check_checkpoint(mark, store)


def test_checkpoints_that_are_gone(tmp_path):
    run, store = tmp_path / "fold0", tmp_path / "fold0" / "predictions" / "val"
    write_checkpoints(run, average="one", best="two")
    file = run / "checkpoints" / "average.ckpt"
    mark = checkpoint_mark(run, str(file), file, store)
    file.unlink()
    with pytest.raises(ValueError, match=r"average.ckpt, which is missing.*--ckpt_path .*average.ckpt"):
        check_checkpoint(mark, store)
    shutil.rmtree(run / "checkpoints")  # to save room: nothing else can be meant
    check_checkpoint(mark, store)
