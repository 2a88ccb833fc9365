"""Texts, JSON and XML: what cannot be read is told with its line."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from files.texts import read_json, read_text, read_xml, read_yaml


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")), mark=st.booleans())
def test_any_text_comes_back(tmp_path, text, mark):
    path = tmp_path / "text"
    path.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    assert read_text(path) == text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\ntwo é".encode("latin-1"), "text, line 2: byte 0xe9 is not UTF-8"),
        ("é".encode("utf-16"), "text is UTF-16, expected UTF-8"),
        ("é".encode("utf-32"), "text is UTF-32, expected UTF-8"),
        (b"one\n\0", "text, line 2: a zero byte"),
    ],
)
def test_other_encodings_are_refused(tmp_path, content, expected):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        read_text(tmp_path / "text")


def test_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps({"ä": [1]}, ensure_ascii=False).encode("utf-8-sig"))
    assert read_json(path) == {"ä": [1]}
    path.write_text('{"a": 1,\n "b": }')
    with pytest.raises(ValueError, match=r"a\.json, line 2, column 7: not JSON: Expecting value"):
        read_json(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"a\.json, line 1, column 1: not JSON"):
        read_json(path)


def test_xml(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes("<?xml version='1.0' encoding='latin-1'?><a>é</a>".encode("latin-1"))
    assert read_xml(path).text == "é"
    path.write_bytes("<a>é</a>".encode("utf-16"))
    assert read_xml(path).text == "é"
    for content, expected in (
        (b"<a>\n<b></a>", r"a\.xml, line 2, column \d+: not XML"),
        (b"", r"a\.xml, line 1, column 1: not XML"),
        ("<a>\né</a>".encode("latin-1"), r"a\.xml, line 2, column \d+: not XML"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", r"a\.xml.* not XML"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=expected):
            read_xml(path)


def test_xml_with_a_declaration_of_entities_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><a>&d;</a>')
    with pytest.raises(ValueError, match=r"a.xml: a document type declaration \(<!DOCTYPE a>\).* remove it"):
        read_xml(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_text('<?xml version="1.0"?><a xmlns="urn:b"><c>&lt;</c></a>')
    assert read_xml(tmp_path / "a.xml")[0].text == "<"


def test_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("names: {0: é, 1: b}")
    assert read_yaml(path) == {"names": {0: "é", 1: "b"}}
    path.write_text("a: 1\nb: [c\n")
    with pytest.raises(ValueError, match=r"a\.yaml, line 3: not YAML"):
        read_yaml(path)
    path.write_text("a: !!python/object:os.system {}")
    with pytest.raises(ValueError, match=r"a\.yaml, line 1: not YAML: could not determine a constructor"):
        read_yaml(path)
