"""CSV engines: equal frames, whatever the file; said in the log."""

import builtins
import csv
import importlib.util
import logging
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from files import tables as csv_files
from files.tables import numbers_of, read_csv

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

    def refused(*arguments, **settings):
        raise AssertionError("read by pandas")

    monkeypatch.setattr(pd, "read_csv", refused)
    pd.testing.assert_frame_equal(read_csv(path, "polars"), expected)


@needs_polars
def test_auto_takes_polars_for_large_files_and_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1,2\n" * 100)
    with caplog.at_level(logging.INFO, "files.tables"):
        read_csv(path)
        assert not caplog.records
        monkeypatch.setattr(csv_files, "LARGE", 100)
        read_csv(path)
    assert "read by polars" in caplog.text


def test_auto_without_polars_says_so(tmp_path, monkeypatch, caplog):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    monkeypatch.setattr(csv_files, "LARGE", 1)
    monkeypatch.setattr(csv_files, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "files.tables"):
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


# What is no table of commas -> what is said of it. Engines take most of these in silence.
BROKEN = {
    "nothing": (b"", "is empty"),
    "blank lines alone": (b"\n \n", "is empty"),
    "a mark alone": (b"\xef\xbb\xbf", "is empty"),
    "more fields": (b"a,b\n1,2\n1,2,3\n", r"line 3: 3 fields, the header has 2: \['a', 'b'\].*quote fields"),
    "more fields in each row": (b"a,b\n1,2,\n3,4,\n", "line 2: 3 fields"),
    "decimal commas": (b"a,b\nx,1,5\ny,2,5\n", "line 2: 3 fields.*use decimal points"),
    "fewer fields": (b"a,b,c\n1,2,3\n\n4,5\n", "line 4: 2 fields, the header has 3"),
    "fewer after a quoted line end": (b'a,b\n"x\ny",2\n3\n', "line 4: 1 field, the header"),
    "no commas": (b"a;b\n1;2,5\n", "line 1: fields are separated by semicolons, expected commas"),
    "tabs": (b"a\tb\n1\t2\n", "line 1: fields are separated by tabs"),
    "a name twice": (b"a,a,b\n1,2,3\n", "line 1: column 'a' is repeated"),
    "a name twice but for spaces": (b"a, a\n1,2\n", "line 1: column 'a' is repeated"),
    "open quote": (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote opens here and is never closed"),
    "open quote in the last field": (b'a\n1\n"2', "line 3: a quote opens here"),
    "text behind a quote": (b'a,b\n1,2\n"3" x,4\n', "line 3: text after a closing quote"),
    "Latin-1": ("a,b\n1,2\ncafé,3\n".encode("latin-1"), "line 3: byte 0xe9 is not UTF-8.*'é'"),
    "Latin-1 header": ("Größe,b\n1,2\n".encode("latin-1"), "line 1: byte 0xf6 is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is UTF-16, expected UTF-8"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "line 1: a zero byte.*UTF-16"),
    "zero bytes": (b"a,b\n1,2\n3,\0\0\n", "line 3: a zero byte"),
}


@pytest.mark.parametrize("engine", ["pandas", pytest.param("polars", marks=needs_polars)])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_table_is_told_with_its_line(tmp_path, name, engine):
    content, expected = BROKEN[name]
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"table\.csv[ ,].*{expected}|table\.csv {expected}") as caught:
        read_csv(path, engine)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.text("ab ,\"\n'é;.1", max_size=6), min_size=3, max_size=3), max_size=6),
    place=st.integers(0, 5),
    change=st.sampled_from([-1, 0, 1]),
)
def test_rows_are_those_of_the_csv_module_or_refused(tmp_path, rows, place, change):
    table = [["one", "two", "three"], *rows]
    if change and rows:
        row = table[1 + place % len(rows)]
        table[1 + place % len(rows)] = [*row, "x"] if change > 0 else row[:-1]
    path = tmp_path / "table.csv"
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n").writerows(table)
    if change and rows:
        with pytest.raises(ValueError, match=r"line \d+: \d fields?, the header has 3"):
            read_csv(path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_csv(path)
    assert found.to_numpy().tolist() == [[field.strip() for field in row] for row in rows]


def test_a_field_of_megabytes(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f'a,b\n1,"{"1 2 " * 1_000_000}"\n')
    assert len(read_csv(path)["b"][0]) == 3_999_999


@pytest.mark.parametrize("engine", ["pandas", pytest.param("polars", marks=needs_polars)])
def test_spaces_around_values_do_not_count_and_are_told_where_they_part_equal_ones(tmp_path, engine):
    path = tmp_path / "table.csv"
    path.write_text("image_id, patient\na,p1\nb,p1 \nc,\u00a0p2\n")
    with pytest.warns(UserWarning, match=r"table\.csv: 'p1' and 'p1 ' in column 'patient' are treated as equal"):
        found = read_csv(path, engine)
    assert found["patient"].tolist() == ["p1", "p1", "p2"]
    path.write_text("image_id, patient\na, p1\nb, p2\nc, p1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_csv(path, engine)["patient"].tolist() == ["p1", "p2", "p1"]


def test_numbers_with_a_comma_are_told(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('a,b\nx,1.5\ny,"2,5"\n')
    with pytest.raises(ValueError, match=r"b, row 3: '2,5' is not a number; numbers have a point, not a comma"):
        numbers_of(read_csv(path)["b"], "b")
    texts = pd.Series(["1", "", "1e3"])
    assert numbers_of(texts, "b", empty=True).tolist()[::2] == [1.0, 1000.0]
    for text in ("", "inf", "x"):
        with pytest.raises(ValueError, match=f"b, row 2: '{text}' is not a number$"):
            numbers_of(pd.Series([text]), "b")
