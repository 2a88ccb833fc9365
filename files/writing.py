"""Text, JSON, YAML, tables and arrays written atomically, in UTF-8 on every system."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from files.atomic import atomic_path

if TYPE_CHECKING:
    import pandas as pd


def write_bytes(path: Path | str, content: bytes, durable: bool = True) -> int:
    """Write a file; returns its size in bytes. `durable` as in `files.atomic.atomic_path`."""
    with atomic_path(path, durable) as temporary, open(temporary, "wb") as handle:
        handle.write(content)
    return len(content)


def write_text(path: Path | str, text: str, durable: bool = True) -> int:
    """Write a text without changing line ends; returns its size in bytes."""
    return write_bytes(path, text.encode(), durable)


def write_json(path: Path | str, content: Any, indent: int | None = 1, durable: bool = True) -> int:
    """Write a JSON file; returns its size in bytes. `indent` None writes one line."""
    return write_text(path, json.dumps(content, indent=indent) + "\n", durable)


def to_yaml(content: Any, sort_keys: bool = False) -> str:
    """Plain values as YAML, keys in their own order by default."""
    return yaml.safe_dump(content, sort_keys=sort_keys)


def to_yaml_line(value: Any, sort_keys: bool = True) -> str:
    """A value as one line of YAML, as on the command line: `[1, 2]`, `{a: 1}`, `null`."""
    return yaml.safe_dump(value, default_flow_style=True, width=1e9, sort_keys=sort_keys).split("\n")[0]


def write_yaml(path: Path | str, content: Any) -> int:
    """Write a YAML file; returns its size in bytes."""
    return write_text(path, to_yaml(content))


def write_csv(path: Path | str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


def write_frame(path: Path | str, frame: "pd.DataFrame") -> None:
    """Write a table as CSV, without its index."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False)


def write_array(path: Path | str, array: np.ndarray, durable: bool = True) -> int:
    """Write a `.npy` file; returns its size in bytes."""
    with atomic_path(path, durable) as temporary:
        with open(temporary, "wb") as handle:
            np.save(handle, np.ascontiguousarray(array), allow_pickle=False)
        return temporary.stat().st_size


def write_arrays(path: Path | str, arrays: Mapping[str, Any], compressed: bool = False, durable: bool = True) -> None:
    """Write a `.npz` file."""
    with atomic_path(path, durable) as temporary, open(temporary, "wb") as handle:
        (np.savez_compressed if compressed else np.savez)(handle, **arrays)
