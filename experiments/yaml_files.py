"""Read configs and overlays from YAML files, with file and line in errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from compat.former_keys import accept_former_keys
from files.texts import read_text

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # that of libyaml, ten times as fast, as jsonargparse chooses


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Keys of a YAML file; former keys are renamed to the current ones. Raises as `read_as_written`."""
    return accept_former_keys(read_as_written(path))


def read_as_written(path: Path | str) -> dict[str, Any]:
    """Keys of a YAML file, former ones too; empty for an empty file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not UTF-8 or valid YAML, has duplicate keys, or is not a mapping; names the line.
    """
    text = read_text(path)
    try:
        loader = LOADER(text)
        node = loader.get_single_node()
        twice = next(_twice(node), None)
        content = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else str(path)
        raise ValueError(f"{where}: invalid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if twice is not None:
        key, line, first = twice
        raise ValueError(f"{path}, line {line}: duplicate key {key!r}, first on line {first}; remove one")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} contains {type(content).__name__} ({str(content)[:40]!r}), expected keys with values")
    return content


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int, int]]:
    """Duplicate keys of mappings, with both lines; YAML would silently use the last one."""
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
