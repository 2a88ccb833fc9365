"""CSV engines: equal frames, whatever the file; said in the log."""

import builtins
import importlib.util
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules import table
from datamodules.table import read_csv

needs_polars = pytest.mark.skipif(
    importlib.util.find_spec("polars") is None, reason='no polars: pip install -e ".[polars]"'
)

FILES = {
    "ids stay text": "image_id,label\n001,1.50\n1e5,NA\nNA,null\n,NaN\n",
    "byte-order mark and spaces": "\ufeffimage_id , label\n a,b \n",
    "windows line ends": "a,b\r\n1,2\r\n",
    "quotes": 'a,b\n"x, ""y""\nz",2\n"",3\n',
    "quoted line end": 'a,b\n"x\r\ny",2\n',
    "stray quote": 'a,b\n5" x,2\n6" y,3\n',
    "blank lines": "a,b\n\n1,2\n   \n\n3,4\n",
    "blank lines of one column": 'a\n1\n\n2\n""\n',
    "no last line end": "a,b\n1,2",
    "empty fields": "a,b,c\n,,\n1,,\n",
    "short rows": "a,b,c\n1,2\n3,4,5\n",
    "a name twice": "a,a,b\n1,2,3\n",
    "no name": "a,,c\n1,2,3\n",
    "header alone": "a,b\n",
    "old line ends": "a,b\r1,2\r3,4\r",
    "accents": "a,b\nMüller,é\n",
}


def outcome(path, engine):
    try:
        return read_csv(path, engine)
    except Exception as error:
        return type(error)


def assert_equal(path):
    one, other = outcome(path, "pandas"), outcome(path, "polars")
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    else:
        assert one is other


@needs_polars
@pytest.mark.parametrize("name", FILES)
def test_engines_agree(tmp_path, name):
    path = tmp_path / "table.csv"
    path.write_bytes(FILES[name].encode())
    assert_equal(path)
    assert isinstance(outcome(path, "polars"), pd.DataFrame)


@needs_polars
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from(["a", "b", ",", '"', '""', "\n", "\r\n", " ", "1", "é", 'x"y']), max_size=24),
    header=st.sampled_from(["", "h,g\n", "h\n"]),
)
def test_engines_agree_on_anything(tmp_path, parts, header):
    path = tmp_path / "table.csv"
    path.write_bytes((header + "".join(parts)).encode())
    assert_equal(path)


@needs_polars
def test_polars_reads_what_is_regular(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    random = np.random.default_rng(0)
    rows = [f'id_{i:05d},"{random.integers(99)} {i}",,{random.random()}' for i in range(5000)]
    path.write_text("image_id,encoded,empty,score\n" + "\n".join(rows) + "\n")
    expected = read_csv(path, "pandas")
    assert len(expected) == 5000
    whole_file = pd.read_csv

    def header_only(*arguments, **settings):
        assert settings.get("nrows") == 0
        return whole_file(*arguments, **settings)

    monkeypatch.setattr(pd, "read_csv", header_only)
    pd.testing.assert_frame_equal(read_csv(path, "polars"), expected)


@needs_polars
def test_auto_takes_polars_for_large_files_and_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1,2\n" * 100)
    with caplog.at_level(logging.INFO, "datamodules.table"):
        read_csv(path)
        assert not caplog.records
        monkeypatch.setattr(table, "LARGE", 100)
        read_csv(path)
    assert "read by polars" in caplog.text


def test_auto_without_polars_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    monkeypatch.setattr(table, "LARGE", 1)
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "datamodules.table"):
        assert read_csv(path, "auto").to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert 'read by pandas; polars would be faster: pip install -e ".[polars]"' in caplog.text


@pytest.mark.parametrize(("engine", "install"), [("cudf", "pip install cudf"), ("polars", r"\.\[polars\]")])
def test_an_engine_that_is_not_installed(tmp_path, monkeypatch, engine, install):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    real = builtins.__import__

    def absent(name, *arguments, **settings):
        if name == engine:
            raise ImportError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=install):
        read_csv(path, engine)


def test_the_environment_names_the_engine(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    monkeypatch.setenv("CSV_ENGINE", "panda")
    with pytest.raises(ValueError, match="CSV_ENGINE.*pandas, polars, cudf"):
        read_csv(path)
    assert len(read_csv(path, "pandas")) == 1


@pytest.mark.parametrize("content", ["a,b\n1,2,3\n", "a,b\n1,2,3\n4,5\n"])
def test_more_fields_than_the_header(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"table\.csv: rows have more fields than the header \['a', 'b'\]"):
        read_csv(path)
