"""Pure functions on files and arrays, and the steps of `prepare --steps` and `data.preprocessing`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compat.former_names import accept_former_names

accept_former_names()

if TYPE_CHECKING:
    from preprocessing.base import Preprocess
    from preprocessing.clahe import Clahe
    from preprocessing.haze import RemoveHaze
    from preprocessing.resize import Resize
    from preprocessing.stretch import Stretch

__all__ = ["Clahe", "Preprocess", "RemoveHaze", "Resize", "Stretch"]

# Imported lazily: all rooms import this package, few need cv2.
MODULES = {"Clahe": "clahe", "Preprocess": "base", "RemoveHaze": "haze", "Resize": "resize", "Stretch": "stretch"}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"preprocessing.{MODULES[name]}"), name)
