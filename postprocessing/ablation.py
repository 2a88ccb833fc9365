"""Ablation of a chain: its score without each step."""

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import Arrays, without_void
from postprocessing.step import Step


def without_each(steps: Sequence[Step]) -> Iterator[tuple[str, list[Step]]]:
    """Label of each step (`0.Threshold`), and the chain without it."""
    for number, step in enumerate(steps):
        yield f"{number}.{type(step).__name__}", [other for place, other in enumerate(steps) if place != number]


def works(
    chain: Sequence[Step],
    score: Callable[[str, Arrays, Arrays], object],
    image_id: str,
    prediction: Arrays,
    targets: Arrays,
) -> bool:
    """Whether a chain gives the metric what it needs on one image; False if it needs a step that was left out.

    Args:
        chain: steps of the chain.
        score: function of image id, result and target: `metric.add` to store the score, `metric.row` to try.
        image_id: image id.
        prediction: predicted arrays of the image by name.
        targets: target arrays of the image by name.
    """
    result = without_void(prediction, targets)
    try:
        for step in chain:
            result = step(result)
        score(image_id, result, targets)
    except (ValueError, KeyError):
        return False
    return True


class StepAblation:
    """Scores of a chain without each of its steps, on the same images as the entire chain, one image at a time.

    Args:
        steps: steps of the chain.
        metric: metric of the competition, which is copied.
    """

    def __init__(self, steps: Sequence[Step], metric: CompetitionMetric) -> None:
        self.chains = [chain for _, chain in without_each(steps)]
        self.metrics: list[CompetitionMetric | None] = []
        for _ in self.chains:
            own = copy.deepcopy(metric)
            own.reset()
            self.metrics.append(own)

    def add(self, image_id: str, prediction: Arrays, targets: Arrays) -> None:
        """Score one image without each step; a chain that needs the step is skipped from then on."""
        for number, (chain, metric) in enumerate(zip(self.chains, self.metrics, strict=True)):
            if metric is not None and not works(chain, metric.add, image_id, prediction, targets):
                self.metrics[number] = None

    def scores(self) -> list[float]:
        """Score without each step; NaN where the chain needs it."""
        return [np.nan if metric is None else float(metric.compute()) for metric in self.metrics]
