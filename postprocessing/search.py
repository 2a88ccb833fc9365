"""Tuning of a post-processing chain on the competition metric, with an unbiased score of the tuning.

Coordinate descent over the candidate values of each step. Every setting is evaluated once on all images and its rows
are stored, so the fit on all images and the two fits on halves of them share evaluations. The score that counts is
cross-fitted: each half is scored with the values found on the other half.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import NamedTuple

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from postprocessing.ablation import without_each, works
from postprocessing.constant import constant_answers
from postprocessing.search_workers import SearchImage, Setting, evaluators
from postprocessing.step import Step, argument_and_entry, arguments_of, as_config

BARELY = 0.005  # gain over a constant answer up to which a chain is reported as no better


class Parameter(NamedTuple):
    """A tuned constructor argument of a step.

    Attributes:
        step: index of the step in the chain.
        name: name of the constructor argument; `value[2]` for entry 2 of a list.
        candidates: candidate values.
        configured: index of the configured value among them.
        label: name in results, `2.MinimumArea.pixels`.
    """

    step: int
    name: str
    candidates: list
    configured: int
    label: str


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        configured: the chain as configured.
        steps: steps tuned on all images.
        before: score of the configured chain on all images.
        cross_fitted: score of the tuning: each half of the images with the values found on the other half. Compare it
            with `before`.
        in_sample: score of `steps` on the images they were tuned on: optimistic, for reference.
        values: parameter label -> (configured, found on all, found on the first half, found on the second half). If
            the halves differ widely, the data do not determine the parameter.
        curves: parameter label -> [(value, in-sample score)], other parameters as in `steps`; NaN where a step rejects
            the combination.
        without: step label -> in-sample score of `steps` without this one; NaN where other steps need it.
        evaluations: number of evaluated settings, each on every image.
        higher_is_better: whether a higher score is better, as in the metric.
        constant: description -> score of the same answer for every image: `all empty`, `all full`, `all class 2`; only
            those that the metric can score.
    """

    configured: list[Step]
    steps: list[Step]
    before: float
    cross_fitted: float
    in_sample: float
    values: dict[str, tuple]
    curves: dict[str, list[tuple[object, float]]]
    without: dict[str, float]
    evaluations: int
    higher_is_better: bool
    constant: dict[str, float] = field(default_factory=dict)

    @property
    def keeps_configured(self) -> bool:
        """Whether tuning scores worse than the configured chain on unseen images."""
        worse = self.cross_fitted < self.before if self.higher_is_better else self.cross_fitted > self.before
        return worse or math.isnan(self.cross_fitted)

    @property
    def recommended(self) -> list[Step]:
        """Tuned steps, or the configured ones if tuning lowers the cross-fitted score."""
        return self.configured if self.keeps_configured else self.steps

    @property
    def majority(self) -> tuple[str, float] | None:
        """The best constant answer and its score; None if the metric can score none."""
        sign = 1 if self.higher_is_better else -1
        scores = {name: score for name, score in self.constant.items() if not math.isnan(score)}
        best = max(scores, key=lambda name: sign * scores[name], default=None)
        return None if best is None else (best, scores[best])

    @property
    def barely_better(self) -> bool:
        """Whether the recommended chain scores no better than the best constant answer."""
        if self.majority is None:
            return False
        score = self.before if self.keeps_configured else self.in_sample
        return (1 if self.higher_is_better else -1) * (score - self.majority[1]) <= BARELY

    def as_overlay(self) -> dict:
        """Recommended chain as a config overlay: `competition.postprocess` with every argument of every step."""
        return {"competition": {"postprocess": [as_config(step) for step in self.recommended]}}

    def summary(self) -> str:
        """Summary for the terminal, a few lines."""
        lines = [
            f"before        {self.before:.5f}  (configured chain)",
            f"cross-fitted  {self.cross_fitted:.5f}  (tuned on one half, scored on the other)",
            f"in-sample     {self.in_sample:.5f}  (optimistic: tuned and scored on the same images)",
        ]
        for label, (configured, found, first, second) in self.values.items():
            lines.append(f"{label}: {configured} -> {found}  (halves: {first}, {second})")
        if not self.values:
            lines.append("no step declares a search space: nothing to tune")
        elif self.keeps_configured:
            lines.append("tuning scores worse on unseen images: configured values kept")
        sign = 1 if self.higher_is_better else -1
        for label, score in self.without.items():
            gain = f"gains {sign * (self.in_sample - score):+.5f}"
            lines.append(f"{label} " + ("is required by other steps" if math.isnan(score) else gain))
        lines.append(f"{self.evaluations} settings evaluated")
        if self.majority is not None:
            answer, score = self.majority
            lines.insert(3, f"majority      {score:.5f}  (the answer {answer!r} for every image)")
        if self.majority is not None and self.barely_better:
            lines.append(
                f"warning: the chain scores no better than the answer {answer!r} for every image: the network "
                "has learned little, or the search tuned it away; look at the panels before you submit"
            )
        return "\n".join(lines)


def search(
    steps: Sequence[Step],
    metric: CompetitionMetric,
    cases: Sequence[SearchImage],
    seed: int = 0,
    sweeps: int = 2,
    processes: int | None = None,
    memory: int = 4 << 30,
) -> SearchResult:
    """Tune the parameters that steps declare in `search_space()`.

    Args:
        steps: configured chain; the search starts from its values, which are always candidates.
        metric: metric to optimise; `higher_is_better` gives the direction.
        cases: images in any order; the result does not depend on it.
        seed: seed of the split into halves.
        sweeps: maximum number of passes over all parameters; the search stops when a pass changes nothing (default: 2;
            the second pass is for parameters that depend on each other).
        processes: number of workers, each with its share of the images (default: one per available CPU).
        memory: bytes of predictions and targets to keep in memory (default: 4 GiB); images beyond are read again each
            time.

    Raises:
        ValueError: fewer than two images (or groups), a repeated image, a search space with an unknown argument, or an
            error of a step, the metric or a reader (with the image as a note).
    """
    if sweeps < 1:
        raise ValueError(f"search: sweeps is {sweeps}, expected 1 or more")
    steps = list(steps)
    cases = sorted(cases, key=lambda case: case.image_id)
    first_half = _first_half(cases, seed)
    space = _Space(steps, list(constant_answers(metric).values()))
    start = tuple(parameter.configured for parameter in space.parameters)
    with evaluators(space.chain, metric, cases, processes, memory) as evaluate:
        rows = _Rows(space, evaluate)
        everything = np.ones(len(cases), bool)

        def fit(images: np.ndarray) -> Setting:
            return _descend(space, start, sweeps, rows, metric, images)

        best = fit(everything)
        # each half is scored with the values found on the other
        from_first, from_second = fit(first_half), fit(~first_half)
        pooled = np.where(first_half[:, None], rows[from_second], rows[from_first])
        curves = {}
        for number, parameter in enumerate(space.parameters):
            line = _line(space, best, number)
            rows.require(line)
            scores = [_score(rows, setting, metric, everything) for setting in line]
            curves[parameter.label] = list(zip(parameter.candidates, scores, strict=True))
        without = {}
        first = cases[0].image_id, cases[0].prediction(), cases[0].targets()
        for number, (label, chain) in enumerate(without_each(space.chain(best))):
            possible = works(chain, metric.row, *first)
            without[label] = float(metric.reduce(evaluate([(*best, number)])[0])) if possible else math.nan
        constant = {}
        for number, (name, answer) in enumerate(constant_answers(metric).items(), len(steps)):
            if works([*space.chain(best), answer], metric.row, *first):
                constant[name] = float(metric.reduce(evaluate([(*best, number)])[0]))
        return SearchResult(
            configured=steps,
            steps=space.chain(best),
            before=_score(rows, start, metric, everything),
            cross_fitted=float(metric.reduce(pooled)),
            in_sample=_score(rows, best, metric, everything),
            values={
                parameter.label: tuple(
                    parameter.candidates[setting[number]] for setting in (start, best, from_first, from_second)
                )
                for number, parameter in enumerate(space.parameters)
            },
            curves=curves,
            without=without,
            evaluations=len(rows.evaluated),
            higher_is_better=bool(metric.higher_is_better),
            constant=constant,
        )


def _first_half(cases: list[SearchImage], seed: int) -> np.ndarray:
    """Random half of the images in whole groups, `(N,)` bool. `cases` are sorted, so their order does not matter."""
    for one, other in zip(cases, cases[1:], strict=False):
        if one.image_id == other.image_id:
            raise ValueError(f"search: image {one.image_id!r} is repeated, expected every image once")
    # a tuple cannot collide with a group name
    groups = [case.group if case.group is not None else (case.image_id,) for case in cases]
    members: dict[object, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    if len(members) < 2:
        raise ValueError(
            f"search: {len(cases)} images in {len(members)} groups, expected at least two groups: values found on one "
            "half are scored on the other; predict more images, or keep the configured values"
        )
    shuffled = list(members.values())
    np.random.default_rng(seed).shuffle(shuffled)
    first: list[int] = []
    second: list[int] = []
    # largest first, each into the smaller half; the sort is stable, so groups of one size stay shuffled
    for numbers in sorted(shuffled, key=len, reverse=True):
        (first if len(first) <= len(second) else second).extend(numbers)
    half = np.zeros(len(cases), bool)
    half[first] = True
    return half


class _Space:
    """Parameters of a chain, and the chain for each setting."""

    def __init__(self, steps: list[Step], extra: Sequence[Step] = ()):
        self.steps, self.extra = steps, extra
        self.parameters: list[Parameter] = []
        self._made: dict[tuple[int, Setting], Step | ValueError] = {}
        for number, step in enumerate(steps):
            arguments = arguments_of(step)
            for name, values in step.search_space().items():
                argument, entry = argument_and_entry(name)
                if argument not in arguments:
                    raise ValueError(
                        f"search: {type(step).__name__}.search_space() names {name!r}, which is not an argument of its "
                        f"constructor; arguments are {', '.join(arguments)}"
                    )
                present = arguments[argument] if entry is None else arguments[argument][entry]
                candidates = list(values) if any(_same(value, present) for value in values) else [present, *values]
                if all(isinstance(value, Real) for value in candidates):
                    candidates.sort()
                configured = next(i for i, value in enumerate(candidates) if _same(value, present))
                label = f"{number}.{type(step).__name__}.{name}"
                self.parameters.append(Parameter(number, name, candidates, configured, label))

    def chain(self, setting: Setting) -> list[Step]:
        """Steps of a setting; equal values of a step give the same object.

        A setting with one extra number leaves out the step of that index; numbers after those of the steps add one of
        the `extra` steps.

        Raises:
            ValueError: a step rejects its values.
        """
        if len(setting) > len(self.parameters):
            whole = self.chain(setting[:-1])
            if setting[-1] >= len(whole):
                return [*whole, self.extra[setting[-1] - len(whole)]]
            return whole[: setting[-1]] + whole[setting[-1] + 1 :]
        chain = []
        for number, step in enumerate(self.steps):
            own = [(p, choice) for p, choice in zip(self.parameters, setting, strict=True) if p.step == number]
            key = number, tuple(choice for _, choice in own)
            if key not in self._made:
                changes = {p.name: p.candidates[choice] for p, choice in own if choice != p.configured}
                try:
                    self._made[key] = step.replaced(**changes) if changes else step
                except ValueError as error:
                    self._made[key] = error
            made = self._made[key]
            if isinstance(made, ValueError):
                raise made
            chain.append(made)
        return chain

    def allowed(self, setting: Setting) -> bool:
        """Whether every step accepts its values (two thresholds in the wrong order, say, are rejected)."""
        try:
            self.chain(setting)
        except ValueError:
            return False
        return True


class _Rows:
    """Metric rows `(N, F)` of all images by setting; each setting is evaluated once."""

    def __init__(self, space: _Space, evaluate: Callable[[list[Setting]], np.ndarray]):
        self.space, self.evaluate = space, evaluate
        self.evaluated: dict[Setting, np.ndarray] = {}

    def require(self, settings: list[Setting]) -> None:
        """Evaluate the allowed and new ones of the settings together, so that they share leading steps."""
        new = [setting for setting in settings if setting not in self.evaluated and self.space.allowed(setting)]
        if new:
            self.evaluated.update(zip(new, self.evaluate(new), strict=True))

    def __contains__(self, setting: Setting) -> bool:
        return setting in self.evaluated

    def __getitem__(self, setting: Setting) -> np.ndarray:
        return self.evaluated[setting]


def _line(space: _Space, setting: Setting, number: int) -> list[Setting]:
    """Settings that vary one parameter of a setting, in the order of its candidates, itself included."""
    choices = range(len(space.parameters[number].candidates))
    return [(*setting[:number], choice, *setting[number + 1 :]) for choice in choices]


def _score(rows: _Rows, setting: Setting, metric: CompetitionMetric, images: np.ndarray) -> float:
    """Score over some of the images; NaN for a rejected setting."""
    return float(metric.reduce(rows[setting][images])) if setting in rows else math.nan


def _descend(
    space: _Space, start: Setting, sweeps: int, rows: _Rows, metric: CompetitionMetric, images: np.ndarray
) -> Setting:
    """Coordinate descent on some of the images; the result is never worse than the start."""
    present = start
    rows.require([start])
    for _ in range(sweeps):
        before = present
        for number in range(len(space.parameters)):
            line = _line(space, present, number)
            rows.require(line)
            scores = np.array([_score(rows, setting, metric, images) for setting in line])
            scores = np.where(np.isnan(scores), -np.inf, scores if metric.higher_is_better else -scores)
            best = np.flatnonzero(scores == scores.max())
            # on ties keep the current value, else take the middle one, farthest from where the score drops
            if present[number] not in best:
                present = line[best[len(best) // 2]]
        if present == before:
            break
    return present


def _same(one: object, other: object) -> bool:
    # 1 == True, but they are different candidates
    return one == other and isinstance(one, bool) == isinstance(other, bool)
