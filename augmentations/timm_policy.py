"""timm's augmentation policies by their strings."""

import copy
import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from augmentations.base import Augmentation, floats_of, masks_of
from augmentations.pixel_map import follow, pixel_numbers, refuse_floats


class TimmPolicy(Augmentation):
    """timm's AutoAugment, RandAugment, AugMix or 3-Augment by timm's policy string, under `data.augmentation`.

    Masks and boxes follow geometric operations (shear, translation, rotation) and ignore colour operations. For 8-bit
    images with 1 or 3 channels.

    Args:
        policy: `rand-m9-n2-mstd0.5-inc1` (RandAugment: magnitude 9, 2 operations, timm's recipe for EfficientNets),
            `original-mstd0.5` and `v0` (AutoAugment), `3a` (DeiT III: colour only), `augmix-m3-w3`; see
            `timm.data.auto_augment` for the syntax. AugMix blends differently transformed images: only without masks.

    Raises:
        ValueError: the string is unknown to timm, an image has another type or number of channels, AugMix is used with
            masks, or a target is a float map.
    """

    def __init__(self, policy: str = "rand-m9-n2-mstd0.5-inc1") -> None:
        from timm.data import auto_augment  # takes 1 s, which would slow down --help

        self.policy = policy
        makers = {"rand": auto_augment.rand_augment_transform, "augmix": auto_augment.augment_and_mix_transform}
        make = makers.get(policy.partition("-")[0], auto_augment.auto_augment_transform)
        try:
            self.transform = make(policy, {})  # older versions of timm need a mapping
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"TimmPolicy: unknown policy {policy!r} ({error}); expected for example rand-m9-n2-mstd0.5, "
                "original-mstd0.5, v0, 3a, augmix-m3-w3"
            ) from error
        self.blends = isinstance(self.transform, auto_augment.AugMixAugment)
        if isinstance(self.transform, auto_augment.AutoAugment):
            self.transform.policy = [[_Followed(op) for op in part] for part in self.transform.policy]
        elif not self.blends:
            self.transform.ops = [_Followed(op) for op in self.transform.ops]

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        raise ValueError("TimmPolicy works on single images; put it into data.augmentation")

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        size, channels = image.shape[:2], image.shape[2]
        if image.dtype != np.uint8 or channels not in (1, 3):
            raise ValueError(
                f"TimmPolicy: expected 8-bit images of 1 or 3 channels, got {channels} of {image.dtype}; use "
                "augmentations.Geometry and augmentations.Colour"
            )
        spatial = any(array.ndim >= 2 for array in arrays.values())
        if self.blends and spatial:
            raise ValueError(
                f"TimmPolicy: {self.policy} blends differently transformed images, which masks cannot follow; use a "
                "policy rand-… or original"
            )
        refuse_floats("TimmPolicy", arrays, floats_of(arrays, masks_of(arrays, size)))
        pil = Image.fromarray(np.repeat(image, 3, axis=2) if channels == 1 else image)
        numbers = Image.fromarray(pixel_numbers(size)) if spatial else None
        with _seeded(int(rng.integers(2**32))):
            found = self.transform(pil) if self.blends else self.transform((pil, numbers))
        pil, numbers = (found, None) if self.blends else found
        if numbers is not None:
            arrays = follow(arrays, np.asarray(numbers), size)
        return np.asarray(pil)[..., :channels], arrays


class _Followed:
    """An operation of timm on an image and, if it is geometric, on its pixel numbers."""

    def __init__(self, operation: Any) -> None:
        self.operation = operation
        self.numbers = None
        if operation.name.startswith(("Shear", "Translate", "Rotate")):
            self.numbers = copy.copy(operation)
            self.numbers.kwargs = {"fillcolor": 0, "resample": Image.Resampling.NEAREST}

    def __call__(self, both: tuple[Image.Image, Image.Image | None]) -> tuple[Image.Image, Image.Image | None]:
        pil, numbers = both
        before = python_random.getstate()
        pil = self.operation(pil)
        if self.numbers is not None and numbers is not None:
            after = python_random.getstate()
            python_random.setstate(before)  # the same random parameters for both
            numbers = self.numbers(numbers)
            python_random.setstate(after)
        return pil, numbers


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python's and numpy's global generators, which timm uses, and restore them afterwards."""
    states = python_random.getstate(), np.random.get_state()  # noqa: NPY002 - timm uses this generator
    python_random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        python_random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
