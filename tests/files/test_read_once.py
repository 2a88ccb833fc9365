from pathlib import Path

import pytest

from files.read_once import read_once


def test_a_file_is_parsed_again_only_if_it_has_changed(tmp_path):
    parsed = []

    @read_once(keep=2)
    def words(path: Path) -> list[str]:
        """Return the words."""
        parsed.append(path.name)
        return path.read_text().split()

    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a b")
    other.write_text("c")
    first = words(one)
    assert words(one) is first
    assert words(other) == ["c"]
    assert parsed == ["one", "other"]
    one.write_text("a b c")
    assert words(one) == ["a", "b", "c"]
    assert parsed == ["one", "other", "one"]
    assert words.__doc__ == "Return the words."
    with pytest.raises(FileNotFoundError, match="third"):
        words(tmp_path / "third")
