"""The base of every post-processing step."""

import inspect
from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Step(ABC):
    """One step of `competition.postprocess`: reads and adds named arrays of one image.

    Every constructor argument is kept as an attribute of the same name.
    """

    @abstractmethod
    def __call__(self, prediction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A new dict with arrays added or replaced; the given arrays are left alone.

        Args:
            prediction: probabilities `(C, H, W)` or `(C,)` float32 by output name, and what earlier steps made:
                masks bool `(C, H, W)`, `instances` int32 `(H, W)`.
        """

    def search_space(self) -> dict[str, list]:
        """Constructor argument -> values that `search` tries; none by default."""
        return {}

    def replaced(self, **changes: Any) -> "Step":
        """A copy with some constructor arguments changed."""
        arguments = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return type(self)(**arguments | changes)


def named(prediction: dict[str, np.ndarray], name: str, step: Step) -> np.ndarray:
    """The array of this name, or an error that lists what there is."""
    if name not in prediction:
        raise ValueError(f"{type(step).__name__} wants {name!r}, the prediction holds {sorted(prediction)}")
    return prediction[name]


def plane(array: np.ndarray, name: str, step: Step) -> np.ndarray:
    """A single map `(H, W)` of `(1, H, W)` or `(H, W)`."""
    if array.ndim == 3 and array.shape[0] == 1:
        return array[0]
    if array.ndim != 2:
        raise ValueError(f"{type(step).__name__} wants one map for {name!r}, got {array.shape}")
    return array
