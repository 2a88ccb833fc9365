"""Which class and arguments of a config's `data` section verbs need that work on files alone."""

import inspect
from collections.abc import Collection

import datamodules
from datamodules import plain
from datamodules.loading import Loading


def offline_class(path: str, names: Collection[str]) -> tuple[str, set[str]] | None:
    """Return the plain class of a datamodule, which is built without torch or Lightning.

    Args:
        path: class path of a LightningDataModule, of `datamodules` or any other.
        names: names of the arguments it is given.

    Returns:
        Class path of the plain class, and the names of its arguments among `names`; the others are of loaders
        (`batch_size`, `augmentation`, …). None for a class without a plain version, as of a fork, and for an unknown
        argument, which the datamodule rejects itself.
    """
    kind = _plain_class(path)
    if kind is None or not set(names) <= _parameters(kind) | loader_arguments():
        return None
    return f"{plain.__name__}.{kind.__name__}", set(names) & _parameters(kind)


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
