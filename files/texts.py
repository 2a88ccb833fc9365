"""Text, JSON, YAML and XML from untrusted files, with errors that name file and line."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import yaml

# UTF-32 before UTF-16, as its mark starts with the one of UTF-16.
MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class _DeclarationError(Exception):
    """An XML file declares a document type."""


class _PlainXml(ElementTree.TreeBuilder):
    """Elements of XML without a document type declaration."""

    def doctype(self, name: str, *_: str | None) -> None:
        raise _DeclarationError(name)


def read_text(path: Path | str) -> str:
    """Read a UTF-8 file, without a byte-order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not UTF-8, or a zero byte; names the line.
    """
    content = Path(path).read_bytes()
    other = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if other is not None:
        raise ValueError(f"{path} is {other}, expected UTF-8; save it again as UTF-8 (in Excel: CSV UTF-8)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise ValueError(
            f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8 (in Latin-1 it is {chr(byte)!r}); save the file "
            "again as UTF-8 (in Excel: CSV UTF-8)"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {line}: a zero byte, expected text; is the file damaged, or UTF-16?")
    return text


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not UTF-8, or not JSON; names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file of plain values.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not UTF-8, or not YAML; names the line.
    """
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ValueError(f"{path}{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a character or a date that does not exist
        raise ValueError(f"{path}: not YAML: {error}") from None


def read_xml(path: Path | str) -> ElementTree.Element:
    """Root element of an XML file, in the encoding it declares.

    A document type declaration, which may define entities that grow when expanded, is refused; label files have none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not XML; names the line.
    """
    try:
        return ElementTree.parse(path, ElementTree.XMLParser(target=_PlainXml())).getroot()
    except _DeclarationError as error:
        raise ValueError(
            f"{path}: a document type declaration (<!DOCTYPE {error}>), which may define entities; remove it"
        ) from None
    except ElementTree.ParseError as error:
        line, column = error.position
        raise ValueError(f"{path}, line {line}, column {column + 1}: not XML: {error}") from None
    except (UnicodeError, LookupError, ValueError) as error:  # a wrong or unknown declared encoding
        raise ValueError(f"{path} is not XML: {error}") from None
