"""Scores of an ensemble out of fold, for any weights of its members."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np

from ensembling.blend import WEIGHTED, Arrays, Blend, as_stored
from ensembling.squares import Squares
from ensembling.stream import Stream
from ensembling.weights import Found, Scores, Weights, as_whole, describe, find_single, find_weights
from evaluation.metrics.base import CompetitionMetric
from postprocessing.shards import Case, evaluators
from postprocessing.step import Step
from predictions.quantiser import Stored

MEMORY = 4 << 30  # bytes of predictions and truths that are kept; beyond, images are read anew for each list of weights


class Scoring:
    """The out-of-fold images of an ensemble, and what weights are worth on them.

    Args:
        stream: the members.
        truths: image id -> reads its target arrays.
        part: image id -> its fold; what a fold is scored with was found without it.
        dtype: of the store, whose rounding is scored as well.
    """

    def __init__(
        self, stream: Stream, truths: dict[str, Callable[[], Arrays]], part: dict[str, int], dtype: Stored = "uint8"
    ) -> None:
        self.stream, self.dtype, self.members = stream, dtype, len(stream.parts)
        self.cases = [Case(one, partial(flat, stream, one), truths[one]) for one in stream.ids]
        self.parts = np.array([part[one] for one in stream.ids])

    @contextmanager
    def scores(
        self, steps: Sequence[Step], metric: CompetitionMetric, processes: int | None = None
    ) -> Iterator[Scores]:
        """Worker processes that score any weights, for the time of a `with` block.

        Args:
            steps: the chain that follows the blend.
            metric: what is scored.
            processes: workers; None: one per CPU.
        """

        def chain(weights: Weights) -> list[Step]:
            return [Blended(self.stream.blend, weights, self.members, self.dtype), *steps]

        with evaluators(chain, metric, self.cases, processes, MEMORY, making=1) as evaluate:
            yield Scores(evaluate, metric.reduce, metric.higher_is_better)

    def fixed(self, scores: Scores, weights: Weights) -> Found:
        """What weights are worth that were not found on these images."""
        return describe(scores, self.members, self.parts, weights, dict.fromkeys(self._numbers(), weights))

    def single(self, scores: Scores) -> Found:
        """The best member alone, for each part by the images of all others."""
        return find_single(scores, self.members, self.parts)

    def search(
        self, scores: Scores, method: Literal["hill_climb", "simplex", "least_squares"], rounds: int = 20
    ) -> Found:
        """Weights found on all images and, for each part, on all others; see `find_weights` and `Squares`."""
        if method != "least_squares":
            return find_weights(scores, self.members, self.parts, method, rounds)
        squares = Squares(self.members)
        for case, part in zip(self.cases, self.parts.tolist(), strict=True):
            outputs = self.stream.blend.aligned(self.stream.entries(case.image_id))
            if outputs:
                squares.add(part, outputs, case.truth())
        by_part = {part: as_whole(squares.weights(part).tolist()) for part in self._numbers()}
        return describe(scores, self.members, self.parts, as_whole(squares.weights().tolist()), by_part)

    def _numbers(self) -> list[int]:
        return np.unique(self.parts).tolist()


class Blended(Step):
    """The first step of a chain that is scored: what `flat` has read, blended with some weights.

    Args:
        blend: the rule.
        weights: of the members. A single one is taken as it is by rules without weights.
        members: how many there are.
        dtype: of the store; what it does to the values is done here as well.
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
    """What every member says of an image, as one mapping: `<member>:<output>` -> array."""
    entries = stream.entries(image_id)
    return {f"{n}:{name}": array for n, entry in enumerate(entries) for name, array in (entry or {}).items()}
