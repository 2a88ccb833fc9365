"""Differences between configs."""

from collections.abc import Mapping, Sequence
from typing import Any

from files.writing import to_yaml_line

# Keys specific to each run, and keys that follow from its path.
OWN = ("experiment", "runs", "run_folder", "overwrite", "ckpt_path", "weights_only", "stages")
OWN_PLACES = (
    "checkpoint.dirpath",
    "trainer.default_root_dir",
    "data.fold",
    "data.folds",
    "seed_everything",
    "data.seed",
)
MISSING = "—"


def differences(configs: Sequence[Any]) -> dict[str, list[Any]]:
    """Values of all configs by dotted key, for keys that differ; key names omit `init_args`.

    Different classes are compared as a whole. Lists are compared entry by entry if they have the same length and
    classes, else as a whole. Keys missing in a config are `MISSING`. Keys specific to each run (fold, seed, folders)
    are left out.
    """
    found: dict[str, list[Any]] = {}
    _walk(list(configs), "", found)
    return {key: values for key, values in found.items() if key.split(".")[0] not in OWN and key not in OWN_PLACES}


def _walk(values: list[Any], key: str, found: dict[str, list[Any]]) -> None:
    if all(value == values[0] for value in values[1:]):
        return
    if all(isinstance(value, Mapping) for value in values) and len({value.get("class_path") for value in values}) == 1:
        for name in dict.fromkeys(name for value in values for name in value):
            longer = key if name == "init_args" else f"{key}.{name}".lstrip(".")
            _walk([value.get(name, {} if name == "init_args" else MISSING) for value in values], longer, found)
    elif all(isinstance(value, list) for value in values) and _alike(values):
        for number, entries in enumerate(zip(*values, strict=True)):
            _walk(list(entries), f"{key}.{number}", found)
    else:
        found[key] = values


def _alike(lists: list[list[Any]]) -> bool:
    """Whether lists have the same length and the same class at each entry."""
    if len({len(one) for one in lists}) > 1:
        return False
    kinds = [[entry.get("class_path") if isinstance(entry, Mapping) else None for entry in one] for one in lists]
    return all(kind == kinds[0] for kind in kinds) and any(isinstance(entry, Mapping) for entry in lists[0])


def short(value: Any, longest: int = 40) -> str:
    """A value as text in a table cell: a class as `Name(key=value)` without null values, a list in brackets."""
    text = _text(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and "class_path" in value:
        given = {key: entry for key, entry in (value.get("init_args") or {}).items() if entry is not None}
        inner = ", ".join(f"{key}={_text(entry)}" for key, entry in given.items())
        return f"{value['class_path'].rsplit('.', 1)[-1]}({inner})"
    if isinstance(value, list):
        return f"[{', '.join(_text(entry) for entry in value)}]"
    if isinstance(value, str):
        return value
    return to_yaml_line(value)
