"""The base of every augmentation of ours."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor


class Augmentation(ABC):
    """Draws parameters for each sample, and applies them to a batch on its device, or to an image in a worker."""

    @abstractmethod
    def batch(self, batch: dict[str, Any], full: float, random: np.random.Generator) -> dict[str, Any]:
        """A new batch.

        Args:
            batch: `image` `(N, C, *spatial)` of any type, masks `(N, K, *spatial)` or `(N, *spatial)`, `boxes` as
                lists, labels; see `docs/architecture.md`.
            full: pixel value that means 1.0.
            random: where parameters are drawn from; numbers, not pixels.
        """

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], full: float, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The same for one image `(H, W, C)` and its arrays, in a loader's worker.

        Raises:
            ValueError: this one wants a batch.
        """
        raise ValueError(f"{type(self).__name__} works on batches; put it into model.augmentation")


def spatial(batch: dict[str, Any]) -> list[str]:
    """Names of the masks of a batch: tensors with the spatial axes of its image."""
    axes = batch["image"].shape[2:]
    return [
        name
        for name, value in batch.items()
        if name != "image"
        and isinstance(value, Tensor)
        and value.dim() > len(axes)
        and value.shape[-len(axes) :] == axes
    ]
