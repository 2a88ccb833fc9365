"""One training at a time in a run folder."""

import json
import os
import subprocess
import sys
import time

import pytest

from experiments import lease
from experiments.lease import Lease


def held_by(path, **facts):
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": None} | facts))


def test_a_lease_is_taken_and_given_back(tmp_path):
    one = Lease(tmp_path / "lease.json")
    one.take()
    with pytest.raises(SystemExit, match=rf"process {os.getpid()} on .* is training in {tmp_path}"):
        Lease(tmp_path / "lease.json").take()
    one.give_back()
    assert not list(tmp_path.iterdir())
    two = Lease(tmp_path / "lease.json")
    two.take()
    one.give_back()  # does not take it from its holder
    assert (tmp_path / "lease.json").is_file()
    two.give_back()


def test_that_of_a_killed_process_is_taken_over(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\nfrom experiments.lease import Lease\n"
    )
    code += "Lease(Path('lease.json')).take()\nprint('taken', flush=True)\nimport time\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, os.getcwd()], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"taken\n"
    with pytest.raises(SystemExit, match=f"process {process.pid}"):
        Lease(tmp_path / "lease.json").take()
    process.kill()
    process.wait()
    mine = Lease(tmp_path / "lease.json")
    mine.take()
    assert json.loads((tmp_path / "lease.json").read_text())["pid"] == os.getpid()
    mine.give_back()


def test_that_of_another_machine_counts_while_it_is_touched(tmp_path, monkeypatch):
    path = tmp_path / "lease.json"
    held_by(path)
    with pytest.raises(SystemExit, match="process 1 on elsewhere"):
        Lease(path).take()
    long_ago = time.time() - 2 * lease.DEAD
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setattr(lease, "BEAT", 0.01)
    mine = Lease(path)
    mine.take()
    os.utime(path, (long_ago, long_ago))
    for _ in range(500):
        if path.stat().st_mtime > long_ago + 1:
            break
        time.sleep(0.01)
    assert path.stat().st_mtime > long_ago + 1, "the holder touches it"
    mine.give_back()


@pytest.mark.skipif(lease.started(os.getpid()) is None, reason="no process table to tell start times from")
def test_another_process_with_the_number_of_a_dead_one_is_not_its_holder(tmp_path):
    held_by(tmp_path / "lease.json", host=Lease(tmp_path).holder["host"], pid=os.getpid(), started="12")
    mine = Lease(tmp_path / "lease.json")
    mine.take()
    mine.give_back()


def test_one_that_was_taken_over_in_between_stays_with_its_holder(tmp_path, monkeypatch):
    path = tmp_path / "lease.json"
    held_by(path)
    long_ago = time.time() - 2 * lease.DEAD
    os.utime(path, (long_ago, long_ago))
    faster, replace = Lease(path), os.replace

    def slow(*paths):
        monkeypatch.undo()
        path.unlink()
        faster.take()
        replace(*paths)

    monkeypatch.setattr(os, "replace", slow)
    with pytest.raises(SystemExit, match=f"process {os.getpid()}"):
        Lease(path).take()
    assert [file.name for file in tmp_path.iterdir()] == ["lease.json"]
    faster.give_back()
    assert not list(tmp_path.iterdir())
