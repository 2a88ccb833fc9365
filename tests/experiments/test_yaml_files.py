"""Configs that are no YAML are told with file and line, by every verb."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cli
from commands.command_line.errors import format_error
from experiments.yaml_files import read_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab :#-é\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.text("abcdé", min_size=1), VALUES, max_size=3), mark=st.booleans())
def test_keys_come_back(tmp_path, content, mark):
    path = tmp_path / "a.yaml"
    path.write_bytes(yaml.safe_dump(content, allow_unicode=True).encode("utf-8-sig" if mark else "utf-8"))
    assert read_yaml(path) == content


def test_merged_keys_are_no_repeats(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {k: 1}\none:\n  <<: *base\n  k: 2\n")
    assert read_yaml(path)["one"] == {"k": 2}


BROKEN = {
    "Latin-1": ("experiment: é\n".encode("latin-1"), r"a\.yaml, line 1: byte 0xe9 is not UTF-8"),
    "UTF-16": ("experiment: e\n".encode("utf-16"), r"a\.yaml is UTF-16, expected UTF-8"),
    "a bracket": (b"cv:\n  k: [1\n", r"a\.yaml, line 3, column 1: invalid YAML"),
    "a tab": (b"cv:\n\tk: 3\n", r"a\.yaml, line 2, column 1: invalid YAML"),
    "no keys": (b"- 1\n", r"a\.yaml contains list"),
    "a word": (b"word\n", r"a\.yaml contains str"),
    "a key twice": (b"cv:\n  k: 3\n  seed: 1\n  k: 4\n", r"a\.yaml, line 4: duplicate key 'k', first on line 2"),
    "a control character": (b"cv: \x07\n", r"a\.yaml is not valid YAML"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_yaml_is_told_with_its_line(tmp_path, name):
    content, expected = BROKEN[name]
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("verb", ["fit", "run", "folds", "crossval", "tune", "explore", "prepare", "report", "submit"])
def test_every_verb_says_so_first(tmp_path, verb):
    (tmp_path / "a.yaml").write_bytes(b"cv:\n  k: [1\n")
    with pytest.raises((ValueError, SystemExit)) as caught:
        cli.main([verb, "--config", str(tmp_path / "a.yaml")])
    text = format_error(caught.value) if isinstance(caught.value, ValueError) else str(caught.value)
    assert text.startswith("error: ")
    assert "a.yaml, line 3" in text.split("\n")[0]
