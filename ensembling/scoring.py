"""Out-of-fold scores of an ensemble for any weights of its members."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np

from ensembling.blend import WEIGHTED, Arrays, Blend, as_stored
from ensembling.least_squares import Squares
from ensembling.stream import Stream
from ensembling.weights import Scores, Weights, WeightSearchResult, as_whole, describe, find_single, find_weights
from evaluation.metrics.base import CompetitionMetric
from postprocessing.search_workers import SearchImage, evaluators
from postprocessing.step import Step
from predictions.quantiser import Stored

MEMORY = 4 << 30  # bytes of predictions and targets to keep; images beyond are read again for each list of weights


class Scoring:
    """Out-of-fold images of an ensemble, and scores of weights on them.

    Args:
        stream: entries of the members.
        targets: function that reads the target arrays, by image id.
        part: fold of each image id; a fold is scored with weights found without it.
        dtype: type of the store, whose rounding is scored as well.
    """

    def __init__(
        self, stream: Stream, targets: dict[str, Callable[[], Arrays]], part: dict[str, int], dtype: Stored = "uint8"
    ) -> None:
        self.stream, self.dtype, self.members = stream, dtype, len(stream.parts)
        self.cases = [SearchImage(one, partial(flat, stream, one), targets[one]) for one in stream.ids]
        self.parts = np.array([part[one] for one in stream.ids])

    @contextmanager
    def scores(
        self, steps: Sequence[Step], metric: CompetitionMetric, processes: int | None = None
    ) -> Iterator[Scores]:
        """Start workers that score any weights, for the duration of a `with` block.

        Args:
            steps: post-processing chain after the blend.
            metric: metric to score.
            processes: number of workers (default: one per CPU).
        """

        def chain(weights: Weights) -> list[Step]:
            return [Blended(self.stream.blend, weights, self.members, self.dtype), *steps]

        with evaluators(chain, metric, self.cases, processes, MEMORY, making=1) as evaluate:
            yield Scores(evaluate, metric.reduce, metric.higher_is_better)

    def fixed(self, scores: Scores, weights: Weights) -> WeightSearchResult:
        """Score weights that were not found on these images."""
        return describe(scores, self.members, self.parts, weights, dict.fromkeys(self._numbers(), weights))

    def single(self, scores: Scores) -> WeightSearchResult:
        """Score the best single member, chosen for each fold on the images of the others."""
        return find_single(scores, self.members, self.parts)

    def search(
        self, scores: Scores, method: Literal["hill_climb", "simplex", "least_squares"], rounds: int = 20
    ) -> WeightSearchResult:
        """Find weights on all images and, for each fold, on all others; see `find_weights` and `Squares`."""
        if method != "least_squares":
            return find_weights(scores, self.members, self.parts, method, rounds)
        squares = Squares(self.members)
        for case, part in zip(self.cases, self.parts.tolist(), strict=True):
            outputs = self.stream.blend.aligned(self.stream.entries(case.image_id))
            if outputs:
                squares.add(part, outputs, case.targets())
        by_part = {part: as_whole(squares.weights(part).tolist()) for part in self._numbers()}
        return describe(scores, self.members, self.parts, as_whole(squares.weights().tolist()), by_part)

    def _numbers(self) -> list[int]:
        return np.unique(self.parts).tolist()


class Blended(Step):
    """First step of a scored chain: blends what `flat` has read with given weights.

    Args:
        blend: blending rule.
        weights: weight of each member. A single member is unchanged under rules without weights.
        members: number of members.
        dtype: type of the store, whose rounding is applied too.
    """

    def __init__(self, blend: Blend, weights: Weights, members: int, dtype: Stored) -> None:
        self.blend, self.weights, self.members, self.dtype = blend, weights, members, dtype

    def __call__(self, prediction: Arrays) -> Arrays:
        entries: list[Arrays | None] = [None] * self.members
        for key, array in prediction.items():
            number, _, name = key.partition(":")
            entries[int(number)] = (entries[int(number)] or {}) | {name: array}
        if self.blend.rule not in WEIGHTED and self.members > 1 and sum(self.weights) == 1:
            alone = entries[self.weights.index(1)]
            if alone is not None:
                return as_stored(alone, self.dtype)
        return as_stored(self.blend(entries, self.weights), self.dtype)


def flat(stream: Stream, image_id: str) -> Arrays:
    """Entries of all members for an image as one mapping from `<member>:<output>` to arrays."""
    entries = stream.entries(image_id)
    return {f"{n}:{name}": array for n, entry in enumerate(entries) for name, array in (entry or {}).items()}
