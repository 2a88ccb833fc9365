"""Stronger augmentation of rare classes."""

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
    """Augmentations with a higher probability for rare classes: p_c = min(p · (f_max / f_c) ^ beta, p_max).

    f_c is the number of training images of this fold with class c, f_max that of the most frequent class. An image with
    several classes has the largest of their probabilities, one without any has `p`. The nested augmentations are all
    applied or all skipped. They must keep the image's size, so crops go outside.

    Args:
        augmentation: nested augmentations: any under `data.augmentation`, only this project's under
            `model.augmentation`.
        target: name of the image-level target with the classes (`datamodules.targets.Labels`, or a column of a CSV).
        p: probability for the most frequent class, in [0, 1].
        beta: exponent: 0 is the same probability for all, with 0.5 (the root, common for class weights) a class that is
            100 times rarer has 10 times the probability, 1 gives equal numbers of augmented images per class up to
            `p_max`.
        p_max: largest probability; below 1, so that rare classes are also seen unchanged.

    Raises:
        ValueError: a probability is outside [0, 1], `p` exceeds `p_max`, `beta` is negative, or the target is missing
            or not a class.
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
                f"ByClass: p is {p}, p_max {p_max}, beta {beta}; expected 0 <= p <= p_max <= 1 and beta >= 0"
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
            raise ValueError("ByClass: class frequencies are unknown before the start of a fit")
        return float(self.chances[classes].max()) if len(classes) else self.p

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if self.target not in arrays:
            raise ValueError(f"ByClass: target is {self.target!r}, but the sample has {sorted(arrays)}")
        seed = int(rng.integers(2**31))
        if rng.random() >= self._chance(classes_of(arrays[self.target], self.target)):
            return image, arrays
        return self.steps(image, arrays, max_value, seed, rng)

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        # By image id: copying labels back from the device would stall training.
        unknown = [image_id for image_id in batch["image_id"] if image_id not in self.of_image]
        if unknown:
            raise ValueError(
                f"ByClass: image {unknown[0]!r} is not in the training table; augment pairs of images under "
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
                f"ByClass: augmented images have the shape {tuple(part['image'].shape[1:])}, the others "
                f"{tuple(batch['image'].shape[1:])}; put crops outside ByClass"
            )
        return batch | {name: _put(batch.get(name), value, index, chosen, batch) for name, value in part.items()}


def _put(whole: Any, part: Any, index: Tensor, chosen: np.ndarray, batch: dict[str, Any]) -> Any:
    """The batch's entry with the augmented samples put back."""
    if not isinstance(part, Tensor):
        result = list(whole)
        for place, value in zip(chosen, part, strict=True):
            result[place] = value
        return result
    if whole is None:  # `valid`, if it did not exist before
        whole = torch.ones(len(batch["image"]), *part.shape[1:], dtype=part.dtype, device=part.device)
    if part.dtype != whole.dtype:
        whole = whole.int().to(part.dtype) if whole.dtype == torch.uint16 else whole.to(part.dtype)
    return whole.index_copy(0, index, part)


def class_chances(counts: np.ndarray, p: float, beta: float, p_max: float) -> np.ndarray:
    """Probability of each class: min(p · (f_max / f_c) ^ beta, p_max); `p_max` for a class without images.

    Args:
        counts: number of images with each class, `(K,)`.
        p: probability for the most frequent class.
        beta: exponent of the frequency ratio.
        p_max: largest probability.
    """
    with np.errstate(divide="ignore"):
        grown = p * (counts.max() / counts) ** beta if beta else np.full(len(counts), p)
    return np.minimum(np.where(counts > 0, grown, p_max), p_max)


def classes_of(value: np.ndarray, target: str = "label") -> np.ndarray:
    """Class numbers present in an image-level target.

    Args:
        value: a class number, or `(K,)` of 0 and 1.
        target: name of the target, for the error message.

    Raises:
        ValueError: the target is a mask or has values that are not classes.
    """
    if value.ndim == 0 and value.dtype.kind in "iu":
        return value.reshape(1).astype(np.int64) if value >= 0 else np.zeros(0, np.int64)
    if value.ndim == 1 and np.isin(value, (0, 1)).all():
        return np.flatnonzero(value)
    raise ValueError(
        f"ByClass: target {target!r} is {value.dtype} of shape {value.shape}, expected the class or classes of an "
        "image: datamodules.targets.Labels of kind single, multi or one_hot"
    )
