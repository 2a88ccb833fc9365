"""Weights of an ensemble's members, found out of fold, with an honest score of the finding."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensembling.rules import normalised

Weights = tuple[int, ...]  # of each member, in whole numbers without a common divisor
Evaluate = Callable[[list[Weights]], np.ndarray]
Method = Literal["hill_climb", "simplex"]
STEPS = 100  # weights of the simplex search are whole hundredths: finer differences are noise, coarser ones repeat


class Scores:
    """Scores of weights over any of the images; each weights are evaluated once, on all images.

    Args:
        evaluate: list of weights -> the metric's rows `(weights, N, F)` of all images.
        reduce: rows -> score.
        higher_is_better: of the score.
    """

    def __init__(self, evaluate: Evaluate, reduce: Callable[[np.ndarray], float], higher_is_better: bool) -> None:
        self.evaluate, self.reduce, self.sign = evaluate, reduce, 1 if higher_is_better else -1
        self.rows: dict[Weights, np.ndarray] = {}

    def require(self, wanted: Sequence[Weights]) -> None:
        """Evaluate those that are new, in one go."""
        new = [weights for weights in dict.fromkeys(map(whole, wanted)) if weights not in self.rows]
        if new:
            self.rows.update(zip(new, self.evaluate(new), strict=True))

    def gain(self, weights: Weights, images: np.ndarray) -> float:
        """Score over some of the images, such that more is better; NaN counts as worst."""
        self.require([weights])
        value = self.sign * float(self.reduce(self.rows[whole(weights)][images]))
        return -math.inf if math.isnan(value) else value

    def score(self, weights: Weights, images: np.ndarray | None = None) -> float:
        """Score over some of the images, or all, as the metric gives it."""
        self.require([weights])
        rows = self.rows[whole(weights)]
        return float(self.reduce(rows if images is None else rows[images]))


@dataclass(frozen=True)
class Found:
    """Weights and what they are worth.

    Attributes:
        weights: found on all images: those for the test set.
        by_part: part of the images -> weights found on all others: those for the part itself.
        singles: score of each member alone.
        equal: score of equal weights.
        in_sample: score of `weights` on the images they were found on: optimistic, for the record.
        cross_fitted: score of each part with the weights found without it: the one to believe.
        evaluations: how many weights were evaluated, each once on every image.
    """

    weights: Weights
    by_part: dict[int, Weights]
    singles: list[float]
    equal: float
    in_sample: float
    cross_fitted: float
    evaluations: int


def find_weights(scores: Scores, members: int, parts: np.ndarray, method: Method, rounds: int = 20) -> Found:
    """Search the weights on all images, and for each part of the images on all others.

    Args:
        scores: of any weights.
        members: how many there are.
        parts: number of the part of each image, `(N,)`: its fold. Two parts or more.
        method: `hill_climb` or `simplex`, see there.
        rounds: of the hill climbing; the simplex search tries up to 10 weights for each.

    Raises:
        ValueError: the images are all in one part.
    """
    numbers = np.unique(parts)
    if len(numbers) < 2:
        raise ValueError("weights are scored on images they were not found on, but all images are in one part")

    def fit(images: np.ndarray) -> Weights:
        climb = hill_climb(scores, members, images, rounds)[-1][0]
        return simplex(scores, members, images, climb, 10 * rounds) if method == "simplex" else climb

    best = fit(np.ones(len(parts), bool))
    by_part = {int(number): fit(parts != number) for number in numbers}
    return describe(scores, members, parts, best, by_part)


def find_single(scores: Scores, members: int, parts: np.ndarray) -> Found:
    """The best single member: on all images, and for each part on all others."""
    scores.require(alone(members))

    def fit(images: np.ndarray) -> Weights:
        return max(alone(members), key=lambda one: scores.gain(one, images))

    by_part = {int(number): fit(parts != number) for number in np.unique(parts)}
    return describe(scores, members, parts, fit(np.ones(len(parts), bool)), by_part)


def best_cross_fitted(found: dict[str, Found], higher_is_better: bool) -> str:
    """Name of what scores best on images that it was not found on; the first among equals, NaN last.

    With the best single member among them, an ensemble whose other members only harm is that member. That the best of
    so few is taken by the very score that is printed adds little to it: each was measured on images it does not know.
    """
    sign = 1 if higher_is_better else -1
    gains = {name: sign * one.cross_fitted for name, one in found.items()}
    return max(gains, key=lambda name: -math.inf if math.isnan(gains[name]) else gains[name])


def describe(scores: Scores, members: int, parts: np.ndarray, best: Weights, by_part: dict[int, Weights]) -> Found:
    """The scores that belong to found (or given) weights."""
    equal = (1,) * members
    scores.require([*alone(members), equal, best, *by_part.values()])
    pooled = np.stack([scores.rows[whole(by_part[int(part)])][place] for place, part in enumerate(parts)])
    return Found(
        weights=whole(best),
        by_part={part: whole(weights) for part, weights in by_part.items()},
        singles=[scores.score(one) for one in alone(members)],
        equal=scores.score(equal),
        in_sample=scores.score(best),
        cross_fitted=float(scores.reduce(pooled)),
        evaluations=len(scores.rows),
    )


def hill_climb(scores: Scores, members: int, images: np.ndarray, rounds: int = 20) -> list[tuple[Weights, float]]:
    """Ensemble selection with replacement (Caruana et al. 2004; Human Protein Atlas 2018, 4th place).

    Begins with the best single member. Every round adds the member, one it has perhaps already, with which the score
    is best, also where that is worse than before: two steps may gain what one does not.

    Args:
        scores: of any weights.
        members: how many there are.
        images: those that count, `(N,)` bool.
        rounds: additions; 20 give weights in steps of 1/21.

    Returns:
        The bests so far, each better than the one before: weights (how often each member was taken) and gain.
    """
    scores.require(alone(members))
    present = max(alone(members), key=lambda one: scores.gain(one, images))  # the first among equals
    path = [(present, scores.gain(present, images))]
    for _ in range(rounds):
        wider = [tuple(n + (m == added) for m, n in enumerate(present)) for added in range(members)]
        scores.require(wider)
        present = max(wider, key=lambda weights: scores.gain(weights, images))
        gain = scores.gain(present, images)
        if gain > path[-1][1]:
            path.append((present, gain))
    return [(whole(weights), gain) for weights, gain in path]


def simplex(scores: Scores, members: int, images: np.ndarray, start: Weights, evaluations: int = 200) -> Weights:
    """Nelder-Mead over weights of at least 0 that sum to 1, on the metric itself, in hundredths.

    Never ends worse than it starts. For a metric with plateaus hill climbing is as good and quicker.

    Args:
        scores: of any weights.
        members: how many there are.
        images: those that count, `(N,)` bool.
        start: where it begins, as a rule the end of a hill climbing.
        evaluations: weights tried at most.
    """
    from scipy.optimize import minimize

    best = (scores.gain(start, images), whole(start))

    def loss(point: np.ndarray) -> float:
        nonlocal best
        share = np.abs(point) / np.abs(point).sum() if np.abs(point).sum() > 0 else np.full(members, 1 / members)
        weights = whole(tuple(int(n) for n in np.rint(share * STEPS)))
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
    """Each member by itself."""
    return [tuple(int(m == one) for m in range(members)) for one in range(members)]


def whole(weights: Sequence[int]) -> Weights:
    """Without a common divisor, so that (2, 2) and (1, 1) are one ensemble."""
    divisor = math.gcd(*weights)
    return tuple(n // divisor for n in weights) if divisor else tuple(weights)


def as_whole(weights: Sequence[float]) -> Weights:
    """Weights as whole numbers: as they are where they are whole, else as hundredths of their sum.

    Raises:
        ValueError: they are negative, not finite or all 0.
    """
    shares = normalised(weights, len(weights))
    if all(float(w).is_integer() for w in weights):
        return whole([int(w) for w in weights])
    return whole([round(STEPS * share) for share in shares])


def parts_of(ids: Sequence[str], fold: dict[str, int], groups: dict[str, str], count: int = 5) -> np.ndarray:
    """Part of each image for cross-fitting, `(N,)`: its fold; where all have one, `count` parts of whole groups.

    Args:
        ids: the images, in any order.
        fold: of the images.
        groups: images of one group (patient, slide) share a part; an image without is alone.
        count: parts where there is one fold, at most as many as there are groups.

    Raises:
        ValueError: there are not two groups.
    """
    folds = np.array([fold.get(image_id, -1) for image_id in ids])
    if len(np.unique(folds)) > 1:
        return folds
    # A tuple cannot be mistaken for the name of a group; sorted, so that the order of the images does not matter.
    keys = [("group", groups[one]) if one in groups else ("image", one) for one in ids]
    names = sorted(set(keys))
    if len(names) < 2:
        raise ValueError(f"{len(ids)} images in {len(names)} groups; weights need two groups to be found and scored on")
    order = np.random.default_rng(0).permutation(len(names))
    part = {names[place]: number % min(count, len(names)) for number, place in enumerate(order)}
    return np.array([part[key] for key in keys])


def better(one: float, other: float, higher_is_better: bool) -> bool:
    """Whether a score is at least as good; NaN never is."""
    return one >= other if higher_is_better else one <= other
