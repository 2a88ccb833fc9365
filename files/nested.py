"""Nested mappings as flat ones."""

from typing import Any


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> dotted keys; `init_args` is left out of the names, lists stay whole."""
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = prefix if key == "init_args" else f"{prefix}.{key}".lstrip(".")
        flat |= flatten(value, name)
    return flat
