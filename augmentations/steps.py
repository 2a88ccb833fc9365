"""Augmentations of every library, in order, on one sample in a loader's worker."""

import numpy as np
from torch import nn

from augmentations.albumentations_steps import Albumentations
from augmentations.base import Augmentation

Arrays = dict[str, np.ndarray]


class Steps:
    """albumentations' transforms, torchvision's (v2) and our own, in order.

    Args:
        steps: the augmentations. Neighbours of albumentations work together: it checks and seeds once per Compose.
    """

    def __init__(self, steps: list) -> None:
        self.runs: list[Augmentation | nn.Module | Albumentations] = []
        for step in steps:
            if isinstance(step, Augmentation | nn.Module):
                self.runs.append(step)
            elif self.runs and isinstance(self.runs[-1], Albumentations):
                self.runs[-1].transforms.append(step)
            else:
                self.runs.append(Albumentations([step]))

    def __call__(
        self, image: np.ndarray, arrays: Arrays, max_value: float, seed: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, Arrays]:
        """An image `(H, W, C)` and its arrays, augmented.

        Args:
            image: of any type.
            arrays: masks, boxes, labels by name.
            max_value: pixel value that means 1.0.
            seed: of what other libraries draw.
            rng: where our own parameters are drawn from.
        """
        for number, run in enumerate(self.runs):
            if isinstance(run, Augmentation):
                image, arrays = run.sample(image, arrays, max_value, rng)
            elif isinstance(run, Albumentations):
                image, arrays = run(image, arrays, seed + number)
            else:
                from augmentations.torchvision_v2 import apply_v2  # a second that most need not wait for

                image, arrays = apply_v2(run, image, arrays, seed + number)
        return image, arrays
