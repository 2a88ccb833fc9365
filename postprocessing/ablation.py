"""What each step of a chain brings: the score of the chain without it."""

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from evaluation.void import without_void
from postprocessing.step import Step

Arrays = dict[str, np.ndarray]


def without_each(steps: Sequence[Step]) -> Iterator[tuple[str, list[Step]]]:
    """Label of each step (`0.Threshold`), and the chain without it."""
    for number, step in enumerate(steps):
        yield f"{number}.{type(step).__name__}", [other for place, other in enumerate(steps) if place != number]


def works(
    chain: Sequence[Step],
    score: Callable[[str, Arrays, Arrays], object],
    image_id: str,
    prediction: Arrays,
    truth: Arrays,
) -> bool:
    """Whether a chain makes of an image what the metric wants; not, where it needs a step that was left out.

    Args:
        chain: the steps.
        score: takes image id, result and truth: `metric.add` to keep the score, `metric.row` to try.
        image_id: of the image.
        prediction: its arrays.
        truth: its arrays.
    """
    result = without_void(prediction, truth)
    try:
        for step in chain:
            result = step(result)
        score(image_id, result, truth)
    except (ValueError, KeyError):
        return False
    return True


class StepAblation:
    """Scores the chain without each of its steps, on the same images as the whole chain, one image after the other.

    Args:
        steps: the chain.
        metric: of the competition; copies of it are used.
    """

    def __init__(self, steps: Sequence[Step], metric: CompetitionMetric) -> None:
        self.chains = [chain for _, chain in without_each(steps)]
        self.metrics: list[CompetitionMetric | None] = []
        for _ in self.chains:
            own = copy.deepcopy(metric)
            own.reset()
            self.metrics.append(own)

    def add(self, image_id: str, prediction: Arrays, truth: Arrays) -> None:
        """Score one image without each step; a chain that cannot do without one is no longer tried."""
        for number, (chain, metric) in enumerate(zip(self.chains, self.metrics, strict=True)):
            if metric is not None and not works(chain, metric.add, image_id, prediction, truth):
                self.metrics[number] = None

    def scores(self) -> list[float]:
        """Score without each step; NaN where the chain needs it."""
        return [np.nan if metric is None else float(metric.compute()) for metric in self.metrics]
