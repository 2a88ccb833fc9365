"""Base class of post-processing steps."""

import inspect
import sys
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from predictions.quantiser import ROUNDING


class Step(ABC):
    """A step of `competition.postprocess`: reads and adds named arrays of one image.

    Every constructor argument is stored as an attribute of the same name.
    """

    @abstractmethod
    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a new dict with arrays added or replaced; the given arrays are unchanged.

        Args:
            prediction: probabilities `(C, H, W)` or `(C,)` float32 by output name, and results of earlier steps: masks
                bool `(C, H, W)`, `instances` int32 `(H, W)`.
        """

    def search_space(self) -> dict[str, list]:
        """Candidate values of constructor arguments for `search`; `value[2]` is entry 2 of a list. Empty by default."""
        return {}

    def replaced(self, **changes: Any) -> "Step":
        """Copy of the step with some constructor arguments, or entries of lists (`value[2]`), changed."""
        arguments = arguments_of(self)
        for name, value in changes.items():
            argument, entry = argument_and_entry(name)
            if entry is not None:
                value = [value if place == entry else old for place, old in enumerate(arguments[argument])]
            arguments[argument] = value
        return type(self)(**arguments)


def arguments_of(step: Step) -> dict[str, Any]:
    """Constructor arguments of a step with their values."""
    return {name: getattr(step, name) for name in inspect.signature(type(step)).parameters}


def as_config(step: Step) -> dict[str, Any]:
    """A step as in YAML: its class, under the short name if its package exports it, and all arguments."""
    kind = type(step)
    package = kind.__module__.partition(".")[0]
    short = getattr(sys.modules.get(package), kind.__name__, None) is kind
    path = f"{package if short else kind.__module__}.{kind.__qualname__}"
    arguments = {name: _plain(value) for name, value in arguments_of(step).items()}
    return {"class_path": path} | ({"init_args": arguments} if arguments else {})


def _plain(value: Any) -> Any:
    """Convert numpy scalars, arrays, tuples and nested steps to YAML types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return as_config(value) if isinstance(value, Step) else value


def argument_and_entry(name: str) -> tuple[str, int | None]:
    """`value[2]` -> (`value`, 2), `value` -> (`value`, None)."""
    argument, bracket, entry = name.partition("[")
    return argument, int(entry.rstrip("]")) if bracket else None


def require_array(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """Return the array of this name, or raise an error that lists the names there are."""
    if name not in prediction:
        raise ValueError(f"{type(step).__name__} requires {name!r}, the prediction has {sorted(prediction)}")
    return prediction[name]


def factors(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """Image-level probabilities `(K,)` to multiply others by: float64 in 0..1, so that the product is a probability."""
    array = require_array(prediction, name, step)
    if array.ndim != 1 or array.dtype.kind not in "fb":
        raise ValueError(
            f"{type(step).__name__} expects probabilities (K,) in {name!r}, got {array.dtype} {array.shape}"
        )
    if array.size and not (array.min() >= 0 and array.max() <= 1 + ROUNDING):
        raise ValueError(
            f"{type(step).__name__} multiplies by {name!r}, which is not a probability (from {array.min():.3g} to "
            f"{array.max():.3g}); set an activation for it, or name another output"
        )
    return np.minimum(array.astype(np.float64), 1)


def probability_map(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """Single probability map `(H, W)`, stored as `(1, H, W)` or `(H, W)`."""
    array = require_array(prediction, name, step)
    if array.dtype.kind != "f":
        raise ValueError(
            f"{type(step).__name__} expects probabilities in {name!r}, got {array.dtype}; put it before the step that "
            "converts them"
        )
    return _plane(array, name, step)


def mask_or_instances(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """Bool mask `(C, H, W)`, or integer instance ids `(H, W)`; distinguished by type."""
    array = require_array(prediction, name, step)
    if array.dtype.kind not in "biu":
        raise ValueError(
            f"{type(step).__name__} expects a mask or instances, {name!r} is {array.dtype}; "
            "add postprocessing.Threshold before it"
        )
    dimensions = 3 if array.dtype == bool else 2
    if array.ndim != dimensions:
        expected = "a bool mask (C, H, W)" if array.dtype == bool else "instance ids (H, W)"
        raise ValueError(f"{type(step).__name__} expects {expected} in {name!r}, got {array.dtype} {array.shape}")
    return array


def mask_map(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """Single bool mask `(H, W)`, stored as `(1, H, W)` or `(H, W)`."""
    array = require_array(prediction, name, step)
    if array.dtype != bool:
        raise ValueError(
            f"{type(step).__name__} expects a bool mask, {name!r} is {array.dtype}; add postprocessing.Threshold "
            "before it"
        )
    return _plane(array, name, step)


def _plane(array: np.ndarray, name: str, step: Step) -> np.ndarray:
    if array.ndim == 3 and array.shape[0] == 1:
        return array[0]
    if array.ndim != 2:
        raise ValueError(f"{type(step).__name__} expects one map (1, H, W) in {name!r}, got {array.shape}")
    return array
