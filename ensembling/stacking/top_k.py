"""Many classes as one question: is this candidate the true one?

Quick, Draw!'s 1st place (340 classes) and Cdiscount's boosted second layers: the k most probable classes of every model
become rows of a binary problem, so that a table of thousands of probabilities becomes one of a few, the same for every
class.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensembling.stacking.features import Table
from ensembling.stacking.models import Target


@dataclass(frozen=True)
class Candidates:
    """The rows of a top-k table.

    Attributes:
        table: features of each row: `<member>.probability` and `<member>.rank` (1: the most probable) of the candidate,
            then the extra columns of the image.
        candidate: class of each row `(R,)`.
        mean: the members' mean probabilities `(N, C)`.
    """

    table: Table
    candidate: np.ndarray
    mean: np.ndarray

    def target(self, truth: np.ndarray) -> Target:
        """1 where the candidate is the image's class. An image whose class is no candidate has zeros alone.

        Args:
            truth: class of each image `(N,)`.
        """
        return Target("flags", (self.candidate == truth[self.table.owner]).astype(np.float32)[:, None], 1)

    def found(self, truth: np.ndarray) -> float:
        """Share of the images whose class is among the candidates: no second level scores above it."""
        return float(self.target(truth).values.sum() / len(truth))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Answers back to classes.

        The candidates of an image share the probability that the members' mean gives them together, by their scores;
        every other class keeps its mean, at most half of the last candidate's, and so is ranked behind all candidates.

        Args:
            scores: `(R,)`, how likely each candidate is the true one; at least 0.

        Returns:
            `(N, C)` float32, rows sum to 1.
        """
        owner, candidate = self.table.owner, self.candidate
        images, classes = self.mean.shape
        sums = np.bincount(owner, scores, images)
        mass = np.bincount(owner, self.mean[owner, candidate], images)
        # No model says yes to any: the mean is all that is known.
        share = np.where(sums[owner] > 0, scores / np.where(sums > 0, sums, 1)[owner] * mass[owner], 0)
        share = np.where(sums[owner] > 0, share, self.mean[owner, candidate])
        last = np.full(images, np.inf)
        np.minimum.at(last, owner, share)
        result = np.minimum(self.mean.astype(np.float64), last[:, None] / 2)
        result[owner, candidate] = share
        return (result / result.sum(axis=1, keepdims=True)).astype(np.float32)


def expand(members: dict[str, np.ndarray], k: int, extra: pd.DataFrame | None = None) -> Candidates:
    """One row for every class that is among the k most probable ones of any member.

    Args:
        members: name -> probabilities `(N, C)`. Of equal ones the lower class is ranked first, as in
            `MeanAveragePrecisionAtK`.
        k: candidates that each member names, at most C.
        extra: further columns of the image, a row an image in the same order.

    Raises:
        ValueError: k below 1, members of different shapes, or a negative or all-zero row of probabilities.
    """
    if k < 1:
        raise ValueError(f"--k is {k}, expected 1 or more candidates")
    shapes = {name: values.shape for name, values in members.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"members with different classes have no common candidates: {shapes}")
    mean = np.asarray(np.mean(list(members.values()), axis=0, dtype=np.float64))
    if min(values.min(initial=0) for values in members.values()) < 0 or not (mean.sum(axis=1) > 0).all():
        raise ValueError("the probabilities of a member are negative, or all 0; top_k wants probabilities of classes")
    ranks = {name: ranks_of(values) for name, values in members.items()}
    owner, candidate = np.nonzero(np.any([rank <= k for rank in ranks.values()], axis=0))
    names = [f"{name}.{what}" for what in ("probability", "rank") for name in members]
    columns = [values[owner, candidate] for values in members.values()]
    columns += [rank[owner, candidate] for rank in ranks.values()]
    if extra is not None:
        names += [str(name) for name in extra]
        columns += list(extra.to_numpy(np.float32)[owner].T)
    table = Table(names, np.stack(columns, axis=1).astype(np.float32), owner, len(mean))
    return Candidates(table, candidate, (mean / mean.sum(axis=1, keepdims=True)).astype(np.float32))


def ranks_of(probabilities: np.ndarray) -> np.ndarray:
    """Rank of every class `(N, C)` int32, 1 for the most probable."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranks = np.empty(probabilities.shape, np.int32)
    np.put_along_axis(ranks, order, np.arange(1, probabilities.shape[1] + 1, dtype=np.int32)[None], axis=1)
    return ranks
