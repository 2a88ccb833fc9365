"""Classes in several configs: a later config keeps the arguments of a class only if it names the same class.

jsonargparse keeps all arguments that the new class has too: `decoder_channels` of a Unet would silently stay in a
UnetPlusPlus.
"""

import copy
from collections.abc import Iterator
from importlib import import_module
from typing import Any

Config = dict[str, Any]
# Datamodules share most arguments, and an overlay such as that of `prepare` changes only how the files are read.
SHARED = (("data",),)
Place = tuple[str, ...]


def without_replaced(contents: list[Config]) -> list[Config]:
    """Remove from each config the classes, with their arguments, that a later config replaces by another class.

    Args:
        contents: contents of the configs, in order; not changed.
    """
    found = copy.deepcopy(contents)
    for number, later in enumerate(found):
        for place, path in list(classes_of(later)):
            before = _last_class(found[:number], place)
            if before is not None and place not in SHARED and not same_class(before, path):
                for earlier in found[:number]:
                    _delete(earlier, place)
    return found


def inherited(contents: list[Config]) -> list[str]:
    """Tell the arguments of classes that later configs name again: those kept, or dropped with another class.

    Args:
        contents: contents of the configs, in order.

    Returns:
        Lines such as `kept     model.network: encoder_name, decoder_channels (Unet as before)`.
    """
    lines = []
    for number, later in enumerate(contents):
        for place, path in classes_of(later):
            before = _last_class(contents[:number], place)
            names: dict[str, None] = {}
            for earlier in contents[:number]:
                names |= dict.fromkeys((_at(earlier, place) or {}).get("init_args") or {})
            own = (_at(later, place) or {}).get("init_args") or {}
            left = [name for name in names if name not in own]
            if before is None or not left:
                continue
            where, old = ".".join(part for part in place if part != "init_args"), before.rpartition(".")[2]
            if same_class(before, path):
                lines.append(f"kept     {where}: {', '.join(left)} ({old} as before)")
            elif place in SHARED:
                lines.append(f"kept     {where}: {', '.join(left)} (of {old})")
            else:
                lines.append(f"dropped  {where}: {', '.join(left)} (of {old})")
    return lines


def classes_of(config: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Places and class paths of all classes of a config, outer ones first; those in lists are replaced as a whole."""
    if isinstance(config, dict):
        if place and isinstance(config.get("class_path"), str):
            yield place, config["class_path"]
        for key, value in config.items():
            yield from classes_of(value, (*place, str(key)))


def same_class(one: str, other: str) -> bool:
    """Whether two class paths name one class: `evaluation.DicePerImage` is `evaluation.metrics.DicePerImage`."""
    if one == other:
        return True
    if one.rpartition(".")[2] != other.rpartition(".")[2]:
        return False
    found = [_imported(path) for path in (one, other)]
    return None in found or found[0] is found[1]  # a path that cannot be imported is an error of the parser


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name, None) if module else None
    except ImportError:
        return None


def _last_class(contents: list[Config], place: Place) -> str | None:
    paths = [(_at(config, place) or {}).get("class_path") for config in contents]
    return next((path for path in reversed(paths) if isinstance(path, str)), None)


def _at(config: Any, place: Place) -> Config | None:
    for key in place:
        config = config.get(key) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else None


def _delete(config: Config, place: Place) -> None:
    owner = _at(config, place[:-1])
    if owner is not None:
        owner.pop(place[-1], None)
