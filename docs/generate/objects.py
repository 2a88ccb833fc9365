"""Objects that a config can use: the exports of all packages, and the classes in the types of their arguments."""

import inspect
import pkgutil
import re
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
NOT_DOCUMENTED = {"tests", "docs", "benchmarks", "compat"}  # folders without objects for configs


def packages() -> list[str]:
    """Return the dotted names of all packages of the repository, including subpackages."""
    found = []
    for folder in sorted(path.parent for path in ROOT.glob("*/__init__.py")):
        if folder.name in NOT_DOCUMENTED:
            continue
        inner = pkgutil.walk_packages([str(folder)], f"{folder.name}.")
        found += [folder.name, *(module.name for module in inner if module.ispkg)]
    return found


def modules(package: str) -> Iterator[ModuleType]:
    """Yield a package and its modules, without those of subpackages."""
    parent = import_module(package)
    yield parent
    for module in pkgutil.iter_modules(parent.__path__, f"{package}."):
        if not module.ispkg:
            yield import_module(module.name)


def public(package: str) -> dict[str, Any]:
    """Return path in YAML -> class or function, for the exports of a package and the classes its modules define.

    A class that is not exported is included if a config can use it in place of others with its base
    (`datamodules.windows`).
    """
    parent = import_module(package)
    exported = {f"{package}.{name}": getattr(parent, name) for name in getattr(parent, "__all__", [])}
    found = {path: value for path, value in exported.items() if choosable(path, value)}
    known = set(map(id, found.values()))
    for module in modules(package):
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if own and id(value) not in known and of_config(value):
                found[f"{module.__name__}.{name}"] = value
    return found


def choosable(path: str, value: Any) -> bool:
    """Return whether a config can use an export of a package: by its type, or because a shipped config does."""
    if inspect.isclass(value):
        return of_config(value) or issubclass(value, nn.Module | pl.Callback) or path in shipped()
    return builds_network(value)


@cache
def shipped() -> set[str]:
    """Return all class paths in the shipped configs."""
    texts = (file.read_text() for file in (ROOT / "configs").rglob("*.yaml"))
    return {path for text in texts for path in re.findall(r"class_path: ([\w.]+)", text)}


def builds_network(value: Any) -> bool:
    """Return whether a value is a function that returns a network."""
    returned = inspect.signature(value).return_annotation if inspect.isfunction(value) else None
    return inspect.isclass(returned) and issubclass(returned, nn.Module)


def of_config(kind: type) -> bool:
    """Return whether a config can use a class: it is a subclass of a type in a config, in the same top-level folder."""
    room = kind.__module__.partition(".")[0]
    bases = [base for base in config_types() if issubclass(kind, base)]
    near = any(base.__module__.partition(".")[0] == room for base in bases)
    callback = room == "callbacks" and issubclass(kind, pl.Callback)  # a key of Lightning's own
    return callback or (near and (kind in bases or not inspect.isabstract(kind)))


def class_named(name: str) -> type:
    """Return the only class of the repository with this name."""
    found = {
        value
        for package in packages()
        for module in modules(package)
        for value in vars(module).values()
        if inspect.isclass(value) and value.__name__ == name and value.__module__ == module.__name__
    }
    if len(found) != 1:
        raise LookupError(f"{len(found)} classes are named {name}, expected one: {found}")
    return found.pop()


ROOTS = ("BaseModule", "BaseDataModule", "Competition", "CrossValidation")  # types of the config keys


@cache
def config_types() -> tuple[type, ...]:
    """Return the template's classes in configs: the roots and, recursively, the types of their arguments."""
    found: list[type] = []
    waiting = [class_named(name) for name in ROOTS]
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.append(kind)
            waiting += argument_types(kind)
    return tuple(found)


def argument_types(kind: type) -> list[type]:
    """Return the template's classes in the annotations of a class's constructor."""
    ours = {package.partition(".")[0] for package in packages()}
    makers = [kind, *(base for base in inspect.getmro(kind)[1:] if "__init__" in vars(base))]
    ours_alone = [maker for maker in makers if maker is kind or maker.__module__.partition(".")[0] in ours]
    hints = [entry.annotation for maker in ours_alone for entry in inspect.signature(maker).parameters.values()]
    return [part for hint in hints for part in parts(hint) if part.__module__.partition(".")[0] in ours]


def parts(hint: Any) -> Iterator[type]:
    """Yield the classes in an annotation: `list[Step] | None` -> Step, list, None."""
    if inspect.isclass(hint) and not typing.get_args(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from parts(argument)
