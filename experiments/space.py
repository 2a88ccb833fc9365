"""The space of a study: which keys of a config take which values."""

import copy
import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from files.writing import to_yaml_line

Path = tuple[str | int, ...]
GRID_POINTS = 5  # of a range that does not say how many


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Args:
        low: lower end.
        high: upper end, above `low`.
        log: evenly spread in the logarithm.
        whole: whole numbers alone.
        points: take only this many values, evenly spread; None takes any.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    points: int | None = None

    def at(self, share: float) -> float | int:
        """The value at a share of the way, 0 to 1; equal shares of the way hold equally many whole numbers."""
        if self.points is not None:
            values = self.values()
            return values[min(int(share * len(values)), len(values) - 1)]
        rim = 0.5 if self.whole else 0.0
        low, high = self.low - rim, self.high + rim
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(value)

    def values(self) -> list[float | int]:
        """The values of a grid, ascending."""
        spread = np.geomspace if self.log else np.linspace
        values = spread(self.low, self.high, self.points or GRID_POINTS)
        return (
            sorted({round(value) for value in values}) if self.whole else [float(f"{value:.10g}") for value in values]
        )


@dataclass(frozen=True)
class Choices:
    """Values to choose from.

    Args:
        options: the values, of any kind that YAML has.
        names: how tables call them; by default as YAML writes them.
    """

    options: tuple[Any, ...]
    names: tuple[str, ...] | None = None

    def at(self, share: float) -> Any:
        """The value at a share of the way, 0 to 1."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def values(self) -> list[Any]:
        """All of them."""
        return list(self.options)


@dataclass(frozen=True)
class Axis:
    """One key of the space.

    Args:
        key: dotted, `init_args` may be left out, entries of lists by number: `data.augmentation.0.p`. A key that begins
            with no section of the config is the model's: `optimizer.lr`.
        domain: its values.
    """

    key: str
    domain: Range | Choices

    def text(self, value: Any) -> str:
        """A value as tables show it."""
        if isinstance(self.domain, Choices) and self.domain.names is not None:
            return self.domain.names[self.domain.options.index(value)]
        if isinstance(value, float):
            return f"{value:.6g}"
        return value if isinstance(value, str) else to_yaml_line(value)


def parse_axis(text: str) -> Axis:
    """Read `key=low:high[:log][:points]` or `key=[one, other]`.

    Ends written without a point or exponent are whole numbers: `batch_size=4:16`, but `p=0.0:1.0`.

    Raises:
        ValueError: quotes the text and says what was expected.
    """
    key, sign, given = text.partition("=")
    key, given = key.strip(), given.strip()
    if not sign or not key or not given:
        raise ValueError(f"--space {text!r}: expected key=low:high, key=low:high:log or key=[one, other]")
    if given.startswith("["):
        try:
            options = yaml.safe_load(given)
        except yaml.YAMLError as error:
            raise ValueError(f"--space {text!r}: the list is no YAML: {error}") from None
        if not options:
            raise ValueError(f"--space {text!r}: the list is empty")
        return Axis(key, Choices(tuple(_number(option) for option in options)))
    low, high, *extra = [part.strip() for part in given.split(":")] + [""] * (given.count(":") == 0)
    log, points = "log" in extra, [part for part in extra if part != "log"]
    try:
        ends = float(low), float(high)
        count = int(points[0]) if points else None
    except ValueError:
        raise ValueError(f"--space {text!r}: expected low:high, then log or a number of points, or a list") from None
    whole = all(re.fullmatch(r"[+-]?\d+", end) for end in (low, high))
    if len(points) > 1 or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise ValueError(f"--space {text!r}: expected low:high with low below high")
    if log and ends[0] <= 0:
        raise ValueError(f"--space {text!r}: a logarithmic range begins above 0")
    if count is not None and count < 2:
        raise ValueError(f"--space {text!r}: a range has 2 points or more")
    return Axis(key, Range(*ends, log=log, whole=whole, points=count))


def _number(value: Any) -> Any:
    """`1e-4`, which YAML 1.1 takes for a text, as the number that everybody means."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def drop_one_axis(key: str, entries: Sequence[Any]) -> Axis:
    """The list at a key whole, and without each of its entries in turn.

    Raises:
        ValueError: it is no list, or empty.
    """
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"--drop_one {key}: expected a list with entries in the config, found {entries!r}")
    options = [list(entries), *([*entries[:number], *entries[number + 1 :]] for number in range(len(entries)))]
    names = ["nothing", *(f"{number} {_class_name(entry)}" for number, entry in enumerate(entries))]
    return Axis(key, Choices(tuple(options), tuple(names)))


def _class_name(entry: Any) -> str:
    name = entry.get("class_path", entry) if isinstance(entry, Mapping) else entry
    return str(name).rsplit(".", 1)[-1]


# --- places in a config ----------------------------------------------------------------------------------------------


def locate(config: Mapping[str, Any], key: str) -> Path:
    """Where a dotted key lies in a whole config, with every `init_args` and number of an entry.

    Raises:
        ValueError: no such key; says how far it leads and what is there.
    """
    parts = key.split(".")
    if parts[0] not in config and "model" in config:
        parts = ["model", *parts]
    node: Any = config
    path: list[str | int] = []
    for part in parts:
        where = ".".join(str(step) for step in path if step != "init_args") or "the config"
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f"key {key}: {where} is a list with entries 0 to {len(node) - 1}, not {part!r}")
            path.append(int(part))
        elif isinstance(node, Mapping):
            if "class_path" in node and part not in node:
                path.append("init_args")
                node = node.get("init_args") or {}
            if part not in node:
                near = difflib.get_close_matches(part, node, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(str, node))}"
                raise ValueError(f"key {key}: {where} has no {part!r}; {hint}")
            path.append(part)
        else:
            raise ValueError(f"key {key}: {where} is {node!r}, which has no parts; set it (with its class_path) first")
        node = node[path[-1]]
    return tuple(path)


def value_at(config: Any, path: Path) -> Any:
    """What a config holds at a place."""
    for step in path:
        config = config[step]
    return config


def overlay(config: Mapping[str, Any], values: Mapping[Path, Any]) -> dict[str, Any]:
    """The smallest config that changes these places when it is given as a second `--config`.

    Lists are replaced whole by the parser, so an entry that changes brings its whole list.

    Args:
        config: the whole config, as `fit --print_config` gives it.
        values: new values by place.
    """
    whole = copy.deepcopy(dict(config))
    for path, value in values.items():
        value_at(whole, path[:-1])[path[-1]] = copy.deepcopy(value)
    small: dict[str, Any] = {}
    for path in values:
        first = next((number for number, step in enumerate(path) if isinstance(step, int)), len(path))
        node = small
        for step in path[: first - 1]:
            node = node.setdefault(step, {})
        node[path[first - 1]] = value_at(whole, path[:first])
    return small


def check_apart(named: Sequence[tuple[str, Path]]) -> None:
    """Refuse two keys of which one holds the other.

    Raises:
        ValueError: names both.
    """
    for number, (key, path) in enumerate(named):
        for other, longer in named[number + 1 :]:
            common = min(len(path), len(longer))
            if path[:common] == longer[:common]:
                raise ValueError(f"--space: {key} and {other} set the same key; leave one out")
