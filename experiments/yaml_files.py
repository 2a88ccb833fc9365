"""Configs and overlays from YAML files; what is no YAML is told with file and line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from compat.former_keys import accept_former_keys
from files.texts import read_text


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The keys of a YAML file; none of an empty one. Former keys come under their names of today.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no UTF-8, no YAML, a key that stands there twice, or a file that holds something else than keys;
            names the line.
    """
    text = read_text(path)
    try:
        twice = next(_twice(yaml.compose(text, yaml.SafeLoader)), None)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else str(path)
        raise ValueError(f"{where}: no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if twice is not None:
        key, line, first = twice
        raise ValueError(f"{path}, line {line}: the key {key!r} stands on line {first} already; leave one of them")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__} ({str(content)[:40]!r}), expected keys with values")
    return accept_former_keys(content)


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int, int]]:
    """Keys that a mapping has twice, with both lines: the last would win in silence."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value != "<<" and lines.setdefault(key.value, line) != line:
                yield key.value, line, lines[key.value]
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value)
