"""The `data` section of a config for verbs that work on files alone."""

import inspect
from typing import Any

import datamodules
from datamodules import plain
from datamodules.loading import Loading


def offline_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain class of a datamodule with its arguments, to be built without torch or Lightning.

    Arguments of loaders (`data.batch_size`, `data.augmentation`, …) are dropped unchecked. A class without a plain
    version, as of a fork, is returned unchanged; so is one of ours with an unknown argument, which it rejects itself.

    Args:
        data: `class_path`, of a LightningDataModule of `datamodules` or any other, and `init_args`.

    Returns:
        New dict with `class_path` and `init_args`.
    """
    kind = _plain_class(str(data.get("class_path", "")))
    arguments = data.get("init_args") or {}
    if kind is None or not set(arguments) <= _parameters(kind) | loader_arguments():
        return dict(data)
    kept = {name: value for name, value in arguments.items() if name in _parameters(kind)}
    return {"class_path": f"{plain.__name__}.{kind.__name__}", "init_args": kept}


def loader_arguments() -> set[str]:
    """Return the names of the datamodule arguments used only in training and prediction."""
    return _named(Loading)


def _plain_class(path: str) -> type | None:
    """Return the plain class for `[datamodules.[images.]]ImageDataModule`, or None."""
    module, _, name = path.rpartition(".")
    own = datamodules.MODULES.get(name)
    ours = own is not None and module in ("", datamodules.__name__, f"{datamodules.__name__}.{own}")
    return getattr(plain, name.removesuffix("Module")) if ours else None


def _parameters(kind: type) -> set[str]:
    """Return the argument names of a class and its bases."""
    return set().union(*(_named(base) for base in inspect.getmro(kind) if "__init__" in vars(base)))


def _named(kind: type) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(vars(kind)["__init__"]).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
