"""What a config can name: the exports of every package, and the classes that arguments of those are typed with."""

import inspect
import pkgutil
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOT_DOCUMENTED = {"tests", "docs", "benchmarks", "compat"}  # folders that no config names anything of


def packages() -> list[str]:
    """Dotted names of all packages of the repository, those inside others too."""
    found = []
    for folder in sorted(path.parent for path in ROOT.glob("*/__init__.py")):
        if folder.name in NOT_DOCUMENTED:
            continue
        inner = pkgutil.walk_packages([str(folder)], f"{folder.name}.")
        found += [folder.name, *(module.name for module in inner if module.ispkg)]
    return found


def modules(package: str) -> Iterator[ModuleType]:
    """A package and the modules that lie in it, without those of its own packages."""
    parent = import_module(package)
    yield parent
    for module in pkgutil.iter_modules(parent.__path__, f"{package}."):
        if not module.ispkg:
            yield import_module(module.name)


def public(package: str) -> dict[str, Any]:
    """Path as YAML writes it -> class or function, of what a package exports and of what its modules define for YAML.

    A module's own class counts where a config may hold it beside others of its base (`datamodules.windows`).
    """
    parent = import_module(package)
    exported = {f"{package}.{name}": getattr(parent, name) for name in getattr(parent, "__all__", [])}
    found = {
        path: value
        for path, value in exported.items()
        if inspect.isfunction(value) or (inspect.isclass(value) and not issubclass(value, BaseException))
    }
    known = set(map(id, found.values()))
    for module in modules(package):
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if own and id(value) not in known and of_config(value):
                found[f"{module.__name__}.{name}"] = value
    return found


def of_config(kind: type) -> bool:
    """Whether a config can hold a class: it is of a type that one asks for, defined in the same room as that."""
    bases = [base for base in config_types() if issubclass(kind, base)]
    near = any(base.__module__.partition(".")[0] == kind.__module__.partition(".")[0] for base in bases)
    return near and (kind in bases or not inspect.isabstract(kind))


def class_named(name: str) -> type:
    """The one class of the repository that has this name, wherever it lies."""
    found = {
        value
        for package in packages()
        for module in modules(package)
        for value in vars(module).values()
        if inspect.isclass(value) and value.__name__ == name and value.__module__ == module.__name__
    }
    if len(found) != 1:
        raise LookupError(f"{len(found)} classes are called {name}, expected one: {found}")
    return found.pop()


ROOTS = ("BaseModule", "BaseDataModule", "Competition", "CrossValidation")  # types of the keys of a config


def config_types() -> tuple[type, ...]:
    """Our classes that a config can hold: the roots and the types of their arguments, and of theirs."""
    if not _config_types:
        waiting = [class_named(name) for name in ROOTS]
        while waiting:
            kind = waiting.pop()
            if kind not in _config_types:
                _config_types.append(kind)
                waiting += argument_types(kind)
    return tuple(_config_types)


_config_types: list[type] = []


def argument_types(kind: type) -> list[type]:
    """Our classes in the annotations of a class's constructor."""
    ours = {package.partition(".")[0] for package in packages()}
    hints = [entry.annotation for entry in inspect.signature(kind).parameters.values()]
    return [part for hint in hints for part in parts(hint) if part.__module__.partition(".")[0] in ours]


def parts(hint: Any) -> Iterator[type]:
    """The classes inside an annotation: `list[Step] | None` -> Step, list, None."""
    if inspect.isclass(hint) and not typing.get_args(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from parts(argument)
