"""What each step of the post-processing brings."""

import copy
from collections.abc import Sequence

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import without_void
from postprocessing.step import Step


class StepGains:
    """Scores the chain without each of its steps, on the same images as the whole chain.

    Args:
        steps: the chain.
        metric: of the competition; copies of it are used.
    """

    def __init__(self, steps: Sequence[Step], metric: CompetitionMetric) -> None:
        self.steps = list(steps)
        self.metrics: list[CompetitionMetric | None] = []
        for _ in self.steps:
            own = copy.deepcopy(metric)
            own.reset()
            self.metrics.append(own)

    def add(self, image_id: str, prediction: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> None:
        """Score one image without each step; a chain that cannot do without one is no longer tried."""
        for number, metric in enumerate(self.metrics):
            if metric is None:
                continue
            result = without_void(prediction, truth)
            try:
                for place, step in enumerate(self.steps):
                    if place != number:
                        result = step(result)
                metric.add(image_id, result, truth)
            except (ValueError, KeyError):
                self.metrics[number] = None

    def without(self) -> list[float]:
        """Score without each step; NaN where the chain needs it."""
        return [np.nan if metric is None else float(metric.compute()) for metric in self.metrics]
