"""Augmentation that changes during training."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from augmentations.base import Augmentation, on_batch
from augmentations.steps import Steps

if TYPE_CHECKING:  # imported by the parser once a config names this class
    from albumentations import BaseCompose, BasicTransform


class Stages(Augmentation):
    """One of several lists of augmentations, selected per epoch by `callbacks.AugmentationSchedule`.

    It can be used under `data.augmentation`, `model.augmentation` or both, next to augmentations that never change
    (crops). Persistent workers notice a switch, because the number of the stage is in shared memory.

    Args:
        stages: augmentations by name of the stage: `{none: [], soft: […], hard: […]}`.

    Raises:
        ValueError: there are no stages, or the schedule names an unknown one.
    """

    def __init__(self, stages: "dict[str, list[BasicTransform | BaseCompose | nn.Module | Augmentation]]") -> None:
        if not stages:
            raise ValueError("Stages: stages is empty, expected for example {none: [], soft: […], hard: […]}")
        self.stages = stages
        self.steps = [Steps(steps) for steps in stages.values()]
        self.current = torch.full((), -1, dtype=torch.int64).share_memory_()

    def switch(self, name: str) -> None:
        """Switch to this stage, in this process and in its workers.

        Raises:
            ValueError: there is no such stage.
        """
        if name not in self.stages:
            raise ValueError(f"Stages: no stage {name!r}, only {list(self.stages)}")
        self.current.fill_(list(self.stages).index(name))

    def _number(self) -> int:
        number = int(self.current)
        if number < 0:
            raise ValueError("augmentations.Stages needs callbacks.AugmentationSchedule in trainer.callbacks")
        return number

    def children(self) -> list:
        return [step for steps in self.stages.values() for step in steps]

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self.steps[self._number()](image, arrays, max_value, int(rng.integers(2**31)), rng)

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        return on_batch(list(self.stages.values())[self._number()], batch, max_value, rng)
