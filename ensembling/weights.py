"""Out-of-fold weights of ensemble members, with an unbiased score of the search."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensembling.rules import normalised

Weights = tuple[int, ...]  # of each member, integers without a common divisor
Evaluate = Callable[[list[Weights]], np.ndarray]
Method = Literal["hill_climb", "simplex"]
STEPS = 100  # simplex weights are hundredths: finer differences are noise, coarser ones repeat


class Scores:
    """Scores of weights over any of the images; every set of weights is evaluated once, on all images.

    Args:
        evaluate: function from a list of weights to the metric rows `(weights, N, F)` of all images.
        reduce: function from rows to a score.
        higher_is_better: whether a higher score is better.
    """

    def __init__(self, evaluate: Evaluate, reduce: Callable[[np.ndarray], float], higher_is_better: bool) -> None:
        self.evaluate, self.reduce, self.sign = evaluate, reduce, 1 if higher_is_better else -1
        self.rows: dict[Weights, np.ndarray] = {}

    def require(self, wanted: Sequence[Weights]) -> None:
        """Evaluate the new ones together."""
        new = [weights for weights in dict.fromkeys(map(in_lowest_terms, wanted)) if weights not in self.rows]
        if new:
            self.rows.update(zip(new, self.evaluate(new), strict=True))

    def gain(self, weights: Weights, images: np.ndarray) -> float:
        """Score over some of the images, with the sign that makes higher better; NaN counts as worst."""
        self.require([weights])
        value = self.sign * float(self.reduce(self.rows[in_lowest_terms(weights)][images]))
        return -math.inf if math.isnan(value) else value

    def score(self, weights: Weights, images: np.ndarray | None = None) -> float:
        """Score over some of the images, or all, in the metric's own sign."""
        self.require([weights])
        rows = self.rows[in_lowest_terms(weights)]
        return float(self.reduce(rows if images is None else rows[images]))


@dataclass(frozen=True)
class WeightSearchResult:
    """Weights and their scores.

    Attributes:
        weights: weights found on all images, for the test set.
        by_part: weights for each fold, found on all others.
        singles: score of each member alone.
        equal: score of equal weights.
        in_sample: score of `weights` on the images they were found on: optimistic, for reference.
        cross_fitted: score of each fold with the weights found without it: the unbiased one.
        evaluations: number of evaluated weights, each on every image.
    """

    weights: Weights
    by_part: dict[int, Weights]
    singles: list[float]
    equal: float
    in_sample: float
    cross_fitted: float
    evaluations: int


def find_weights(
    scores: Scores, members: int, parts: np.ndarray, method: Method, rounds: int = 20
) -> WeightSearchResult:
    """Search weights on all images, and for each fold on all others.

    Args:
        scores: scores of any weights.
        members: number of members.
        parts: fold of each image, `(N,)`; at least two folds.
        method: `hill_climb` or `simplex`, see there.
        rounds: number of rounds of hill climbing; the simplex search tries up to 10 weights per round.

    Raises:
        ValueError: all images are in one fold.
    """
    numbers = np.unique(parts)
    if len(numbers) < 2:
        raise ValueError(
            "all images are in one fold, expected two or more: weights are scored on folds they were not found on"
        )

    def fit(images: np.ndarray) -> Weights:
        climb = hill_climb(scores, members, images, rounds)[-1][0]
        return simplex(scores, members, images, climb, 10 * rounds) if method == "simplex" else climb

    best = fit(np.ones(len(parts), bool))
    by_part = {int(number): fit(parts != number) for number in numbers}
    return describe(scores, members, parts, best, by_part)


def find_single(scores: Scores, members: int, parts: np.ndarray) -> WeightSearchResult:
    """Best single member on all images, and for each fold on all others."""
    scores.require(alone(members))

    def fit(images: np.ndarray) -> Weights:
        return max(alone(members), key=lambda one: scores.gain(one, images))

    by_part = {int(number): fit(parts != number) for number in np.unique(parts)}
    return describe(scores, members, parts, fit(np.ones(len(parts), bool)), by_part)


def best_cross_fitted(found: dict[str, WeightSearchResult], higher_is_better: bool) -> str:
    """Name of the result with the best cross-fitted score; ties go to the first, NaN comes last.

    With the best single member among the candidates, an ensemble with harmful other members is reduced to it. Choosing
    the best of so few by the printed score adds little optimism: each was measured on unseen images.
    """
    sign = 1 if higher_is_better else -1
    gains = {name: sign * one.cross_fitted for name, one in found.items()}
    return max(gains, key=lambda name: -math.inf if math.isnan(gains[name]) else gains[name])


def describe(
    scores: Scores, members: int, parts: np.ndarray, best: Weights, by_part: dict[int, Weights]
) -> WeightSearchResult:
    """Compute the scores of found (or given) weights."""
    equal = (1,) * members
    scores.require([*alone(members), equal, best, *by_part.values()])
    pooled = np.stack([scores.rows[in_lowest_terms(by_part[int(part)])][place] for place, part in enumerate(parts)])
    return WeightSearchResult(
        weights=in_lowest_terms(best),
        by_part={part: in_lowest_terms(weights) for part, weights in by_part.items()},
        singles=[scores.score(one) for one in alone(members)],
        equal=scores.score(equal),
        in_sample=scores.score(best),
        cross_fitted=float(scores.reduce(pooled)),
        evaluations=len(scores.rows),
    )


def hill_climb(scores: Scores, members: int, images: np.ndarray, rounds: int = 20) -> list[tuple[Weights, float]]:
    """Ensemble selection with replacement (Caruana et al. 2004; Human Protein Atlas 2018, 4th place).

    Starts with the best single member. Every round adds the member, possibly again, with the best resulting score, even
    if that is worse than before: two additions may gain what one does not.

    Args:
        scores: scores of any weights.
        members: number of members.
        images: images to use, `(N,)` bool.
        rounds: number of additions; 20 give weights in steps of 1/21.

    Returns:
        Successive improvements: weights (how often each member was taken) and gain.
    """
    scores.require(alone(members))
    present = max(alone(members), key=lambda one: scores.gain(one, images))  # ties go to the first
    path = [(present, scores.gain(present, images))]
    for _ in range(rounds):
        wider = [tuple(n + (m == added) for m, n in enumerate(present)) for added in range(members)]
        scores.require(wider)
        present = max(wider, key=lambda weights: scores.gain(weights, images))
        gain = scores.gain(present, images)
        if gain > path[-1][1]:
            path.append((present, gain))
    return [(in_lowest_terms(weights), gain) for weights, gain in path]


def simplex(scores: Scores, members: int, images: np.ndarray, start: Weights, evaluations: int = 200) -> Weights:
    """Nelder-Mead over weights of at least 0 and with sum 1, on the metric itself, in hundredths.

    The result is never worse than the start. For a metric with plateaus hill climbing is as good and faster.

    Args:
        scores: scores of any weights.
        members: number of members.
        images: images to use, `(N,)` bool.
        start: initial weights, usually the result of hill climbing.
        evaluations: maximum number of weights to try.
    """
    from scipy.optimize import minimize

    best = (scores.gain(start, images), in_lowest_terms(start))

    def loss(point: np.ndarray) -> float:
        nonlocal best
        share = np.abs(point) / np.abs(point).sum() if np.abs(point).sum() > 0 else np.full(members, 1 / members)
        weights = in_lowest_terms(tuple(int(n) for n in np.rint(share * STEPS)))
        if not any(weights):
            return math.inf
        gain = scores.gain(weights, images)
        if gain > best[0]:
            best = gain, weights
        return -gain

    begin = np.array(start, float) / sum(start)
    corners = np.stack([begin, *(0.8 * begin + 0.2 * np.eye(members)[m] for m in range(members))])
    minimize(
        loss,
        begin,
        method="Nelder-Mead",
        options={"initial_simplex": corners, "maxfev": evaluations, "xatol": 1 / STEPS, "fatol": 1e-9},
    )
    return best[1]


def alone(members: int) -> list[Weights]:
    """Weights of each single member."""
    return [tuple(int(m == one) for m in range(members)) for one in range(members)]


def in_lowest_terms(weights: Sequence[int]) -> Weights:
    """Remove the common divisor, so that (2, 2) and (1, 1) are the same weights."""
    divisor = math.gcd(*weights)
    return tuple(n // divisor for n in weights) if divisor else tuple(weights)


def as_whole(weights: Sequence[float]) -> Weights:
    """Convert weights to integers: unchanged if they are, else hundredths of their sum.

    Raises:
        ValueError: weights are negative, not finite or all 0.
    """
    shares = normalised(weights, len(weights))
    if all(float(w).is_integer() for w in weights):
        return in_lowest_terms([int(w) for w in weights])
    return in_lowest_terms([round(STEPS * share) for share in shares])


def parts_of(ids: Sequence[str], fold: dict[str, int], groups: dict[str, str], count: int = 5) -> np.ndarray:
    """Fold of each image for cross-fitting, `(N,)`; with a single fold, `count` random parts of whole groups.

    Args:
        ids: image ids in any order.
        fold: fold of each image id.
        groups: group (patient, slide) of each image id, which stays in one part; others are groups of their own.
        count: number of parts with a single fold, capped at the number of groups.

    Raises:
        ValueError: there are fewer than two groups.
    """
    folds = np.array([fold.get(image_id, -1) for image_id in ids])
    if len(np.unique(folds)) > 1:
        return folds
    # A tuple cannot collide with a group name; sorted, so that the order of images does not matter.
    keys = [("group", groups[one]) if one in groups else ("image", one) for one in ids]
    names = sorted(set(keys))
    if len(names) < 2:
        raise ValueError(
            f"found {len(ids)} images in {len(names)} groups, expected at least two groups to find and score weights"
        )
    order = np.random.default_rng(0).permutation(len(names))
    part = {names[place]: number % min(count, len(names)) for number, place in enumerate(order)}
    return np.array([part[key] for key in keys])


def better(one: float, other: float, higher_is_better: bool) -> bool:
    """Whether a score is at least as good; NaN never is."""
    return one >= other if higher_is_better else one <= other
