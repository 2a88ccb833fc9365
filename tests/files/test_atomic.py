"""Files are there whole or not at all, and what cannot be written is named."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from files.atomic import atomic_folder, atomic_path
from files.png import read_png, write_png
from files.writing import (
    to_yaml,
    to_yaml_line,
    write_array,
    write_arrays,
    write_bytes,
    write_csv,
    write_frame,
    write_json,
    write_text,
    write_yaml,
)

ROOT = Path(__file__).resolve().parents[2]
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
TABLE = pd.DataFrame({"image_id": ["001", "é"]})
WRITERS = {
    "bytes": (lambda path: write_bytes(path, b"\0\n"), lambda path: path.read_bytes() == b"\0\n"),
    "text": (lambda path: write_text(path, "é\r\n"), lambda path: path.read_bytes() == "é\r\n".encode()),
    "json": (lambda path: write_json(path, {"a": [1]}), lambda path: json.loads(path.read_text()) == {"a": [1]}),
    "yaml": (lambda path: write_yaml(path, {"b": 1, "a": 2}), lambda path: path.read_text() == "b: 1\na: 2\n"),
    "csv": (lambda path: write_csv(path, ["a"], [[1]]), lambda path: path.read_bytes() == b"a\r\n1\r\n"),
    "frame": (lambda path: write_frame(path, TABLE), lambda path: pd.read_csv(path, dtype=str).equals(TABLE)),
    "array": (lambda path: write_array(path, IMAGE), lambda path: (np.load(path) == IMAGE).all()),
    "arrays": (lambda path: write_arrays(path, {"=x": IMAGE}), lambda path: (np.load(path)["=x"] == IMAGE).all()),
    "png": (lambda path: write_png(path, IMAGE), lambda path: (read_png(path) == IMAGE).all()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path, kind):
    write, is_right = WRITERS[kind]
    path = tmp_path / "new" / "folder" / ("x" * 250 + ".npy")[-255:]
    for _ in range(2):  # the second time over the first
        size = write(path)
        assert is_right(path)
        assert size in (None, path.stat().st_size)
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", WRITERS)
def test_what_cannot_be_written_is_named(tmp_path, kind):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "x"
    with pytest.raises(OSError, match=f"^{path} cannot be written: ") as raised:
        WRITERS[kind][0](path)
    assert raised.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "x" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=f"^{tmp_path / 'x'} cannot be written: "):
        write_bytes(tmp_path / "x", b"")
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "inside"]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(OSError, match=f"^{tmp_path / 'x'} cannot be written: No space left") as raised,
        atomic_path(tmp_path / "x"),
        open("/dev/full", "wb", buffering=0) as handle,
    ):
        handle.write(b"x")
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@given(st.binary(), st.integers(0, 3))
def test_an_error_keeps_what_was_there(tmp_path_factory, content, written):
    folder = tmp_path_factory.mktemp("kept")
    write_bytes(folder / "x", content)
    with contextlib.suppress(ZeroDivisionError), atomic_path(folder / "x") as temporary:
        temporary.write_bytes(b"half" * written)
        raise ZeroDivisionError
    assert (folder / "x").read_bytes() == content
    assert list(folder.iterdir()) == [folder / "x"]


def test_a_file_that_is_read_meanwhile_is_told_by_its_own_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file.*other"), atomic_path(tmp_path / "x"):
        (tmp_path / "other").read_text()


def test_a_process_that_is_killed_leaves_the_former_file(tmp_path):
    write_text(tmp_path / "x", "former")
    code = (
        "import os, sys\nfrom files.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n    path.write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], cwd=ROOT, check=False)
    assert done.returncode != 0
    assert (tmp_path / "x").read_text() == "former"


def test_bytes_and_name_are_on_the_disk_before_it_goes_on(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    write_text(tmp_path / "x", "content")
    assert synced == [(tmp_path / "x").stat().st_ino, tmp_path.stat().st_ino]
    write_bytes(tmp_path / "y", b"", durable=False)
    assert len(synced) == 2


def test_rights_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "x", "")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_appears_whole_in_place_of_the_former(tmp_path):
    for content in ("first", "second"):
        with atomic_folder(tmp_path / "set") as folder:
            write_text(folder / "in" / content, content)
        assert [path.name for path in (tmp_path / "set" / "in").iterdir()] == [content]
    with contextlib.suppress(ZeroDivisionError), atomic_folder(tmp_path / "set") as folder:
        write_text(folder / "in" / "half", "half")
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "set" / "in").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_yaml_comes_back_also_from_one_line(value):
    assert yaml.safe_load(to_yaml(value)) == value
    if not (isinstance(value, str) and "\n" in value):
        assert yaml.safe_load(to_yaml_line(value)) == value
