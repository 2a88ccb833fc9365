"""The `data` part of a config for whatever works on files alone."""

import inspect
from typing import Any

import datamodules
from datamodules import plain
from datamodules.loading import Loading


def offline_data(data: dict[str, Any]) -> dict[str, Any]:
    """The plain class of a datamodule and the arguments that it takes, to be built without torch or Lightning.

    Arguments of loaders (`data.batch_size`, `data.augmentation`, …) are dropped without a look at their values. A class
    without a plain one, as of a fork, comes back as it is; so does one of ours with an argument that nobody knows,
    which it refuses itself.

    Args:
        data: `class_path`, of a LightningDataModule of `datamodules` or any other, and `init_args`.

    Returns:
        `class_path` and `init_args` in a new dict.
    """
    kind = _plain_class(str(data.get("class_path", "")))
    arguments = data.get("init_args") or {}
    if kind is None or not set(arguments) <= _parameters(kind) | loader_arguments():
        return dict(data)
    kept = {name: value for name, value in arguments.items() if name in _parameters(kind)}
    return {"class_path": f"{plain.__name__}.{kind.__name__}", "init_args": kept}


def loader_arguments() -> set[str]:
    """Names of the arguments of a datamodule that only training and prediction look at."""
    return _named(Loading)


def _plain_class(path: str) -> type | None:
    """That of `datamodules.ImageDataModule`, also of `datamodules.images.ImageDataModule` and `ImageDataModule`."""
    module, _, name = path.rpartition(".")
    own = datamodules.MODULES.get(name)
    ours = own is not None and module in ("", datamodules.__name__, f"{datamodules.__name__}.{own}")
    return getattr(plain, name.removesuffix("Module")) if ours else None


def _parameters(kind: type) -> set[str]:
    """The arguments of a class and of those that it hands on to."""
    return set().union(*(_named(base) for base in inspect.getmro(kind) if "__init__" in vars(base)))


def _named(kind: type) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(vars(kind)["__init__"]).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
