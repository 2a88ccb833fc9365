"""Progress outside a terminal: a line every ten seconds, nothing for short loops."""

import io
import sys

import pytest

from files import progress as module
from files.progress import Lines, progress


def test_short_loops_write_nothing(capsys):
    assert list(progress(range(1000), "reading", unit=" images")) == list(range(1000))
    with progress(desc="decoding", total=5) as bar:
        bar.update(5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("show", [True, False])
def test_long_loops_write_lines(monkeypatch, capsys, show):
    seconds = iter(range(0, 1000, 4))
    monkeypatch.setattr("tqdm.std.time", lambda: next(seconds))
    assert len(list(progress(range(20), "reading", unit=" images", show=show))) == 20
    lines = capsys.readouterr().err.split("\n")[:-1]
    assert bool(lines) == show
    assert all(line.startswith("reading: ") and "/20 images, " in line and line.endswith(" left") for line in lines)
    assert len(lines) in ((0,) if not show else range(5, 15))
    assert all("\r" not in line for line in lines)


def test_a_terminal_has_a_bar(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(list(progress(range(3), "reading"))) == 3
    assert "100%|" in stream.getvalue()


def test_states_are_lines():
    stream = io.StringIO()
    lines = Lines(stream)
    for text in ("\r", "\ra: 1/3", "\ra: 2/3  ", "\n", ""):
        lines.write(text)
    lines.flush()
    assert stream.getvalue() == "a: 1/3\na: 2/3\n"
    assert module.SECONDS == 10
