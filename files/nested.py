"""Nested mappings flattened."""

from typing import Any


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested mapping to dotted keys; `init_args` is omitted from names, lists are kept."""
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix if key == "init_args" else f"{prefix}.{key}".lstrip(".")
        flat |= flatten(value, name)
    return flat
