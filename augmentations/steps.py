"""Augmentations of all libraries, in order, on one sample in a worker of the data loader."""

import numpy as np
from torch import nn

from augmentations.albumentations_steps import Albumentations
from augmentations.base import Augmentation

Arrays = dict[str, np.ndarray]


class Steps:
    """Augmentations of albumentations, torchvision (v2) and this project, in order.

    Args:
        steps: the augmentations. Adjacent ones of albumentations form one Compose, which checks and seeds once.
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
        """An augmented image `(H, W, C)` and its arrays.

        Args:
            image: image of any type.
            arrays: masks, boxes, labels by name.
            max_value: pixel value that means 1.0.
            seed: seed of the other libraries.
            rng: generator of this project's augmentations.
        """
        for number, run in enumerate(self.runs):
            if isinstance(run, Augmentation):
                image, arrays = run.sample(image, arrays, max_value, rng)
            elif isinstance(run, Albumentations):
                image, arrays = run(image, arrays, seed + number)
            else:
                from augmentations.torchvision_v2 import apply_v2  # takes 1 s; most runs do not need it

                image, arrays = apply_v2(run, image, arrays, seed + number)
        return image, arrays
