"""Base class of this project's augmentations."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masks.void import VOID


class Augmentation(ABC):
    """Draws parameters per sample and applies them to a batch on its device, or to an image in a worker."""

    @abstractmethod
    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        """The augmented batch.

        Args:
            batch: `image` `(N, C, *spatial)` of any type, masks `(N, K, *spatial)` or `(N, *spatial)`, `boxes` as
                lists, labels; see `docs/architecture.md`.
            max_value: pixel value that means 1.0.
            rng: generator of the parameters; it draws no per-pixel noise.
        """

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """One augmented image `(H, W, C)` and its arrays, in a worker of the data loader.

        Raises:
            ValueError: the augmentation needs a batch.
        """
        raise ValueError(f"{type(self).__name__} works on batches; put it into model.augmentation")

    def prepare(self, labels: Callable[[str], dict[str, np.ndarray]]) -> None:  # noqa: B027 - few need it
        """Called on every rank before a fit.

        Args:
            labels: function that returns, for the name of an image-level target, the value of each training image by
                image id.
        """

    def children(self) -> list:
        """The augmentations nested in this one."""
        return []


def flatten_steps(steps: list) -> Iterator[Any]:
    """Augmentations and those nested in them."""
    for step in steps:
        yield step
        if isinstance(step, Augmentation):
            yield from flatten_steps(step.children())


def on_batch(steps: list, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
    """Apply augmentations to a batch in order; see `Augmentation.batch`.

    Raises:
        ValueError: an augmentation works on single images.
    """
    for step in steps:
        if not isinstance(step, Augmentation):
            raise ValueError(f"{type(step).__name__} works on single images; put it into data.augmentation")
        batch = step.batch(batch, max_value, rng)
    return batch


def blanked_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch with targets erased where `valid` is False; see `masks.void.blanked`."""
    if "valid" not in batch:
        return batch
    valid, axes, result = batch["valid"], batch["image"].dim() - 2, dict(batch)
    for name in spatial(batch):
        value: Tensor = batch[name]
        if name != "valid" and value.dim() in (axes + 1, axes + 2):
            flat = value.dim() == axes + 1
            nothing = VOID if flat and value.dtype == torch.int64 else 0
            result[name] = value.masked_fill(~(valid if flat else valid.unsqueeze(1)), nothing)
    return result


def uniform(
    rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...], extremes: bool = False
) -> np.ndarray:
    """Uniform numbers in [low, high], or only `low` and `high` with `extremes`."""
    if extremes:
        return np.where(rng.random(shape) < 0.5, low, high)
    return rng.uniform(low, high, shape)


def masks_of(arrays: dict[str, np.ndarray], size: tuple[int, int]) -> list[str]:
    """Names of the masks of a sample: arrays with the height and width of its image.

    Raises:
        ValueError: a target of two or more axes is neither a mask nor `boxes`, so it would not be transformed with the
            image.
    """
    names = [name for name, array in arrays.items() if array.ndim >= 2 and name != "boxes"]
    for name in names:
        if arrays[name].shape[-2:] != tuple(size):
            raise ValueError(
                f"the target {name!r} has the shape {arrays[name].shape}, its image {tuple(size)}, but augmentation "
                "supports only masks of the image's size and boxes (n, 4) named 'boxes' with their 'labels'. Draw "
                "points into a mask in `read` and extract them in `derive`, which runs after augmentation"
            )
    return names


def floats_of(arrays: dict[str, np.ndarray], names: list[str]) -> list[str]:
    """Names of float maps, which are interpolated, among the named arrays."""
    return [name for name in names if arrays[name].dtype.kind not in "biu"]


def spatial(batch: dict[str, Any]) -> list[str]:
    """Names of the masks of a batch: tensors with the spatial size of its image."""
    axes = batch["image"].shape[2:]
    return [
        name
        for name, value in batch.items()
        if name != "image"
        and isinstance(value, Tensor)
        and value.dim() > len(axes)
        and value.shape[-len(axes) :] == axes
    ]
