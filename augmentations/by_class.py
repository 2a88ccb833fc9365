"""More augmentation for rare classes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from augmentations.base import Augmentation, on_batch
from augmentations.steps import Steps

if TYPE_CHECKING:  # imported by the parser once a config names this class
    from albumentations import BaseCompose, BasicTransform


class ByClass(Augmentation):
    """Augmentations whose chance grows for rare classes: p_c = min(p · (f_max / f_c) ^ beta, p_max).

    f_c is the number of training images with class c, of this fold, f_max that of the most frequent class. An image
    with several classes takes the largest of their chances, one without any takes `p`. Everything inside is applied or
    left out as a whole. It keeps the image's size, so crops stand outside of it.

    Args:
        augmentation: what is applied: under `data.augmentation` all that may stand there, under `model.augmentation`
            our own.
        target: image-level target that holds the class or classes (`datamodules.targets.Labels`; a column of a CSV
            becomes one).
        p: chance for the most frequent class.
        beta: 0 is the same chance for all, 0.5 (the root, as class weights are often tempered) lets a class that is 100
            times rarer have 10 times the chance, 1 makes as many augmented images of each class until `p_max`.
        p_max: largest chance; below 1, so that a rare class is also seen as it is.

    Raises:
        ValueError: chances outside 0..1 or upside down, a negative beta; a target that is not there or no class.
    """

    def __init__(
        self,
        augmentation: "list[BasicTransform | BaseCompose | nn.Module | Augmentation]",
        target: str = "label",
        p: float = 0.1,
        beta: float = 0.5,
        p_max: float = 0.9,
    ) -> None:
        if not 0 <= p <= p_max <= 1 or beta < 0:
            raise ValueError(
                f"ByClass: p is {p}, p_max {p_max}, beta {beta}; expected 0 <= p <= p_max <= 1 and beta of 0 or more"
            )
        self.augmentation, self.target, self.p, self.beta, self.p_max = augmentation, target, p, beta, p_max
        self.steps = Steps(augmentation)
        self.chances: np.ndarray | None = None
        self.of_image: dict[str, float] = {}

    def prepare(self, labels: Callable[[str], dict[str, np.ndarray]]) -> None:
        found = {image_id: classes_of(value, self.target) for image_id, value in labels(self.target).items()}
        present = np.concatenate([np.zeros(0, np.int64), *found.values()])
        if not len(present):
            raise ValueError(f"ByClass: no training image has a class of {self.target!r}")
        self.chances = class_chances(np.bincount(present), self.p, self.beta, self.p_max)
        self.of_image = {image_id: self._chance(classes) for image_id, classes in found.items()}

    def children(self) -> list:
        return self.augmentation

    def _chance(self, classes: np.ndarray) -> float:
        if self.chances is None:
            raise ValueError("ByClass: the frequencies of the classes are not known before a fit has begun")
        return float(self.chances[classes].max()) if len(classes) else self.p

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if self.target not in arrays:
            raise ValueError(f"ByClass: target is {self.target!r}, the sample holds {sorted(arrays)}")
        seed = int(rng.integers(2**31))
        if rng.random() >= self._chance(classes_of(arrays[self.target], self.target)):
            return image, arrays
        return self.steps(image, arrays, max_value, seed, rng)

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        # By the ids: labels would have to come back from the device, and training would wait for them.
        unknown = [image_id for image_id in batch["image_id"] if image_id not in self.of_image]
        if unknown:
            raise ValueError(
                f"ByClass: {unknown[0]!r} is no image of the training table; pairs of images are augmented under "
                "data.augmentation"
            )
        chances = np.array([self.of_image[image_id] for image_id in batch["image_id"]])
        chosen = np.flatnonzero(rng.random(len(chances)) < chances)
        if not len(chosen):
            return batch
        index = torch.from_numpy(chosen).to(batch["image"].device, non_blocking=True)
        part = {
            name: value[index] if isinstance(value, Tensor) else [value[place] for place in chosen]
            for name, value in batch.items()
        }
        part = on_batch(self.augmentation, part, max_value, rng)
        if part["image"].shape[1:] != batch["image"].shape[1:]:
            raise ValueError(
                f"ByClass: images of {tuple(batch['image'].shape[1:])} become {tuple(part['image'].shape[1:])}, but "
                "some stay as they are; put crops outside of it"
            )
        return batch | {name: _put(batch.get(name), value, index, chosen, batch) for name, value in part.items()}


def _put(whole: Any, part: Any, index: Tensor, chosen: np.ndarray, batch: dict[str, Any]) -> Any:
    """The batch's entry with the augmented samples in their places."""
    if not isinstance(part, Tensor):
        result = list(whole)
        for place, value in zip(chosen, part, strict=True):
            result[place] = value
        return result
    if whole is None:  # `valid`, where nothing was moved before
        whole = torch.ones(len(batch["image"]), *part.shape[1:], dtype=part.dtype, device=part.device)
    if part.dtype != whole.dtype:
        whole = whole.int().to(part.dtype) if whole.dtype == torch.uint16 else whole.to(part.dtype)
    return whole.index_copy(0, index, part)


def class_chances(counts: np.ndarray, p: float, beta: float, p_max: float) -> np.ndarray:
    """Chance of each class: min(p · (f_max / f_c) ^ beta, p_max); a class that is never seen has `p_max`.

    Args:
        counts: `(K,)` images with each class.
        p: of the most frequent class.
        beta: how fast it grows with rarity.
        p_max: the largest.
    """
    with np.errstate(divide="ignore"):
        grown = p * (counts.max() / counts) ** beta if beta else np.full(len(counts), p)
    return np.minimum(np.where(counts > 0, grown, p_max), p_max)


def classes_of(value: np.ndarray, target: str = "label") -> np.ndarray:
    """Numbers of the classes that an image-level target says are there.

    Args:
        value: a class number, or `(K,)` of 0 and 1.
        target: its name, for the message.

    Raises:
        ValueError: a mask, or numbers that are no classes.
    """
    if value.ndim == 0 and value.dtype.kind in "iu":
        return value.reshape(1).astype(np.int64) if value >= 0 else np.zeros(0, np.int64)
    if value.ndim == 1 and np.isin(value, (0, 1)).all():
        return np.flatnonzero(value)
    raise ValueError(
        f"ByClass: target {target!r} is {value.dtype} of shape {value.shape}, expected an image's class or classes: "
        "datamodules.targets.Labels of kind single, multi or one_hot"
    )
