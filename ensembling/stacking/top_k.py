"""Many classes as a binary problem: is this candidate the true class?

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
    """Rows of a top-k table.

    Attributes:
        table: features of each row: `<member>.probability` and `<member>.rank` (1: most probable) of the candidate,
            then the extra columns of the image.
        candidate: class of each row `(R,)`.
        mean: mean probabilities of the members `(N, C)`.
    """

    table: Table
    candidate: np.ndarray
    mean: np.ndarray

    def target(self, targets: np.ndarray) -> Target:
        """1 where the candidate is the class of the image. An image whose class is not a candidate has only zeros.

        Args:
            targets: class of each image `(N,)`.
        """
        return Target("flags", (self.candidate == targets[self.table.owner]).astype(np.float32)[:, None], 1)

    def found(self, target: np.ndarray) -> float:
        """Share of images whose class is among the candidates: an upper bound of the second level."""
        return float(self.target(target).values.sum() / len(target))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Convert scores of candidates to class probabilities.

        The candidates of an image share, by their scores, the probability that the members' mean gives them together;
        every other class keeps its mean, capped at half of the last candidate's, and so ranks behind all candidates.

        Args:
            scores: probability of each candidate to be the true class `(R,)`; at least 0.

        Returns:
            `(N, C)` float32, with row sums 1.
        """
        owner, candidate = self.table.owner, self.candidate
        images, classes = self.mean.shape
        sums = np.bincount(owner, scores, images)
        mass = np.bincount(owner, self.mean[owner, candidate], images)
        # All scores are 0: use the mean.
        share = np.where(sums[owner] > 0, scores / np.where(sums > 0, sums, 1)[owner] * mass[owner], 0)
        share = np.where(sums[owner] > 0, share, self.mean[owner, candidate])
        last = np.full(images, np.inf)
        np.minimum.at(last, owner, share)
        result = np.minimum(self.mean.astype(np.float64), last[:, None] / 2)
        result[owner, candidate] = share
        return (result / result.sum(axis=1, keepdims=True)).astype(np.float32)


def expand(members: dict[str, np.ndarray], k: int, extra: pd.DataFrame | None = None) -> Candidates:
    """Table with a row for every class among the k most probable ones of any member.

    Args:
        members: probabilities `(N, C)` by name. Ties go to the lower class, as in `MeanAveragePrecisionAtK`.
        k: number of candidates per member, capped at C.
        extra: further columns with a row per image in the same order.

    Raises:
        ValueError: k is below 1, members differ in shape, or a row of probabilities is negative or all 0.
    """
    if k < 1:
        raise ValueError(f"--k is {k}, expected 1 or more candidates")
    shapes = {name: values.shape for name, values in members.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"members have the shapes {shapes}, expected equal classes for common candidates")
    mean = np.asarray(np.mean(list(members.values()), axis=0, dtype=np.float64))
    if min(values.min(initial=0) for values in members.values()) < 0 or not (mean.sum(axis=1) > 0).all():
        raise ValueError("probabilities of a member are negative, or all 0; top_k requires class probabilities")
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
