"""Search space of a study: config keys and their values."""

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
GRID_POINTS = 5  # number of points of a range without a given number


@dataclass(frozen=True)
class Range:
    """Range of numbers, both ends included.

    Args:
        low: lower end.
        high: upper end, above `low`.
        log: whether values are evenly spaced in the logarithm.
        whole: whether values are integers.
        points: number of evenly spaced values to choose from; None allows any value.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    points: int | None = None

    def at(self, share: float) -> float | int:
        """Value at a fraction of the range, 0 to 1; integers are equally likely."""
        if self.points is not None:
            values = self.values()
            return values[min(int(share * len(values)), len(values) - 1)]
        rim = 0.5 if self.whole else 0.0
        low, high = self.low - rim, self.high + rim
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(value)

    def values(self) -> list[float | int]:
        """Grid values in ascending order."""
        spread = np.geomspace if self.log else np.linspace
        values = spread(self.low, self.high, self.points or GRID_POINTS)
        return (
            sorted({round(value) for value in values}) if self.whole else [float(f"{value:.10g}") for value in values]
        )


@dataclass(frozen=True)
class Choices:
    """Values to choose from.

    Args:
        options: values of any YAML type.
        names: names in tables; by default, the values as YAML.
    """

    options: tuple[Any, ...]
    names: tuple[str, ...] | None = None

    def at(self, share: float) -> Any:
        """Value at a fraction of the list, 0 to 1."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def values(self) -> list[Any]:
        """All values."""
        return list(self.options)


@dataclass(frozen=True)
class Axis:
    """One key of the search space.

    Args:
        key: dotted key, `init_args` optional, list entries by index: `data.augmentation.0.p`. A key that does not start
            with a config section belongs to the model: `optimizer.lr`.
        domain: values of the key.
    """

    key: str
    domain: Range | Choices

    def text(self, value: Any) -> str:
        """A value as text in tables."""
        if isinstance(self.domain, Choices) and self.domain.names is not None:
            return self.domain.names[self.domain.options.index(value)]
        if isinstance(value, float):
            return f"{value:.6g}"
        return value if isinstance(value, str) else to_yaml_line(value)


def parse_axis(text: str) -> Axis:
    """Parse `key=low:high[:log][:points]` or `key=[one, other]`.

    Ends without a decimal point or exponent are integers: `batch_size=4:16`, but `p=0.0:1.0`.

    Raises:
        ValueError: if the text is invalid.
    """
    key, sign, given = text.partition("=")
    key, given = key.strip(), given.strip()
    if not sign or not key or not given:
        raise ValueError(f"--space {text!r}: expected key=low:high, key=low:high:log or key=[one, other]")
    if given.startswith("["):
        try:
            options = yaml.safe_load(given)
        except yaml.YAMLError as error:
            raise ValueError(f"--space {text!r}: the list is not valid YAML: {error}") from None
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
        raise ValueError(f"--space {text!r}: expected low < high")
    if log and ends[0] <= 0:
        raise ValueError(f"--space {text!r}: a logarithmic range must start above 0")
    if count is not None and count < 2:
        raise ValueError(f"--space {text!r}: expected 2 or more points")
    return Axis(key, Range(*ends, log=log, whole=whole, points=count))


def _number(value: Any) -> Any:
    """Parse numbers such as `1e-4`, which YAML 1.1 reads as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def drop_one_axis(key: str, entries: Sequence[Any]) -> Axis:
    """Axis of a list: with all entries, and without each entry in turn.

    Raises:
        ValueError: if the value is not a list, or empty.
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
    """Path of a dotted key in a resolved config, with every `init_args` and list index.

    Raises:
        ValueError: if there is no such key; names the part that is missing and the existing keys.
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
            raise ValueError(f"key {key}: {where} is {node!r}, which has no keys; set it (with its class_path) first")
        node = node[path[-1]]
    return tuple(path)


def value_at(config: Any, path: Path) -> Any:
    """Value of a config at a path."""
    for step in path:
        config = config[step]
    return config


def overlay(config: Mapping[str, Any], values: Mapping[Path, Any]) -> dict[str, Any]:
    """Smallest config that changes values when given as a second `--config`.

    The parser replaces lists as a whole, so a changed entry requires its whole list.

    Args:
        config: resolved config, as printed by `fit --print_config`.
        values: new values by path.
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
    """Check that no key contains another.

    Raises:
        ValueError: if a key contains another; names both.
    """
    for number, (key, path) in enumerate(named):
        for other, longer in named[number + 1 :]:
            common = min(len(path), len(longer))
            if path[:common] == longer[:common]:
                raise ValueError(f"--space: {key} and {other} set the same key; remove one")
