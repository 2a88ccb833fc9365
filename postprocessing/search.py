"""Tuning of a post-processing chain against the competition's metric, with an honest score of the tuning itself.

Coordinate descent over the values that each step declares. Every setting is evaluated once on all images and its rows
are kept, so the fit on all images and the two fits on halves of them share evaluations. The score that counts is
cross-fitted: each half is scored with the values found on the other half.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from evaluation.metrics.base import CompetitionMetric
from postprocessing.ablation import without_each, works
from postprocessing.shards import Case, Setting, evaluators
from postprocessing.step import Step, argument_and_entry, arguments_of, as_config


class Parameter(NamedTuple):
    """One constructor argument of one step that is tuned.

    Attributes:
        step: number of the step in the chain.
        name: of the constructor argument; `value[2]` for entry 2 of a list.
        candidates: values that are tried.
        configured: number of the configured value among them.
        label: how it is called in results, `2.MinimumArea.pixels`.
    """

    step: int
    name: str
    candidates: list
    configured: int
    label: str


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        configured: the chain as it was given.
        steps: copies tuned on all images.
        before: score of the configured chain on all images.
        cross_fitted: score of the tuning: each half of the images with the values found on the other half. The one
            to compare with `before`.
        in_sample: score of `steps` on the images they were tuned on: optimistic, for the record.
        values: parameter label -> (configured, found on all, found on the first half, found on the second half). Halves
            that disagree widely say that the data do not determine the parameter.
        curves: parameter label -> [(value, in-sample score)], the other parameters as in `steps`; NaN where a step
            refused the value beside the others.
        without: step label -> in-sample score of `steps` without this one; NaN where the others do not work without it.
        evaluations: number of settings that were evaluated, each once on every image.
        higher_is_better: as in the metric.
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

    @property
    def keeps_configured(self) -> bool:
        """Whether tuning scores worse than the configured chain on images it has not seen."""
        worse = self.cross_fitted < self.before if self.higher_is_better else self.cross_fitted > self.before
        return worse or math.isnan(self.cross_fitted)

    @property
    def recommended(self) -> list[Step]:
        """The tuned steps, or the configured ones where tuning made the cross-fitted score worse."""
        return self.configured if self.keeps_configured else self.steps

    def as_overlay(self) -> dict:
        """The recommended chain as a config overlay: `competition.postprocess` with every argument of every step."""
        return {"competition": {"postprocess": [as_config(step) for step in self.recommended]}}

    def summary(self) -> str:
        """A few lines for the terminal."""
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
            lines.append("tuning made unseen images worse: the configured values are kept")
        sign = 1 if self.higher_is_better else -1
        for label, score in self.without.items():
            gain = f"brings {sign * (self.in_sample - score):+.5f}"
            lines.append(f"{label} " + ("cannot be left out: the others need it" if math.isnan(score) else gain))
        lines.append(f"{self.evaluations} settings evaluated")
        return "\n".join(lines)


def search(
    steps: Sequence[Step],
    metric: CompetitionMetric,
    cases: Sequence[Case],
    seed: int = 0,
    sweeps: int = 2,
    processes: int | None = None,
    memory: int = 4 << 30,
) -> SearchResult:
    """Tune the parameters that the steps declare in `search_space()`.

    Args:
        steps: the configured chain; its values are where the search starts, and always among the candidates.
        metric: what is optimised; `higher_is_better` gives the direction.
        cases: the images, in any order: the result does not depend on it.
        seed: of the division into halves.
        sweeps: passes over all parameters at most; it ends earlier when a pass changes nothing. 2: the second pass
            is for parameters that depend on each other.
        processes: workers, each with its share of the images. None: one per CPU this process may use.
        memory: bytes of predictions and truths that may be kept in memory; beyond, images are read anew each time.

    Raises:
        ValueError: fewer than two images (or groups), an image twice, a search space that names no argument of its
            step, or what a step, the metric or a reader raises (with the image as a note).
    """
    if sweeps < 1:
        raise ValueError(f"search: sweeps is {sweeps}, expected 1 or more")
    steps = list(steps)
    cases = sorted(cases, key=lambda case: case.image_id)
    first_half = _first_half(cases, seed)
    space = _Space(steps)
    start = tuple(parameter.configured for parameter in space.parameters)
    with evaluators(space.chain, metric, cases, processes, memory) as evaluate:
        rows = _Rows(space, evaluate)
        everything = np.ones(len(cases), bool)

        def fit(images: np.ndarray) -> Setting:
            return _descend(space, start, sweeps, rows, metric, images)

        best = fit(everything)
        # what each half is scored with was found without it
        from_first, from_second = fit(first_half), fit(~first_half)
        pooled = np.where(first_half[:, None], rows[from_second], rows[from_first])
        curves = {}
        for number, parameter in enumerate(space.parameters):
            line = _line(space, best, number)
            rows.require(line)
            scores = [_score(rows, setting, metric, everything) for setting in line]
            curves[parameter.label] = list(zip(parameter.candidates, scores, strict=True))
        without = {}
        for number, (label, chain) in enumerate(without_each(space.chain(best))):
            possible = works(chain, metric.row, cases[0].image_id, cases[0].prediction(), cases[0].truth())
            without[label] = float(metric.reduce(evaluate([(*best, number)])[0])) if possible else math.nan
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
        )


def _first_half(cases: list[Case], seed: int) -> np.ndarray:
    """Random half of the images, whole groups, `(N,)` bool. `cases` are sorted, so that their order does not matter."""
    for one, other in zip(cases, cases[1:], strict=False):
        if one.image_id == other.image_id:
            raise ValueError(f"search: image {one.image_id!r} is given twice, expected every image once")
    # a tuple cannot be mistaken for the name of a group
    groups = [case.group if case.group is not None else (case.image_id,) for case in cases]
    members: dict[object, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    if len(members) < 2:
        raise ValueError(
            f"search: {len(cases)} images in {len(members)} groups, expected two groups or more: values found on one "
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
    """The parameters of a chain, and the chain of each setting."""

    def __init__(self, steps: list[Step]):
        self.steps = steps
        self.parameters: list[Parameter] = []
        self._made: dict[tuple[int, Setting], Step | ValueError] = {}
        for number, step in enumerate(steps):
            arguments = arguments_of(step)
            for name, values in step.search_space().items():
                argument, entry = argument_and_entry(name)
                if argument not in arguments:
                    raise ValueError(
                        f"search: {type(step).__name__}.search_space() names {name!r}, which is no argument of its "
                        f"constructor; its arguments are {', '.join(arguments)}"
                    )
                present = arguments[argument] if entry is None else arguments[argument][entry]
                candidates = list(values) if any(_same(value, present) for value in values) else [present, *values]
                if all(isinstance(value, Real) for value in candidates):
                    candidates.sort()
                configured = next(i for i, value in enumerate(candidates) if _same(value, present))
                label = f"{number}.{type(step).__name__}.{name}"
                self.parameters.append(Parameter(number, name, candidates, configured, label))

    def chain(self, setting: Setting) -> list[Step]:
        """The steps of a setting; a step with the same values is the same object.

        A setting with one number more leaves out the step of that number.

        Raises:
            ValueError: a step refuses its values.
        """
        if len(setting) > len(self.parameters):
            whole = self.chain(setting[:-1])
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
        """Whether every step takes its values (two thresholds in the wrong order, say, are refused)."""
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
        """Evaluate those of the settings that are allowed and new, in one go: they share the steps before them."""
        new = [setting for setting in settings if setting not in self.evaluated and self.space.allowed(setting)]
        if new:
            self.evaluated.update(zip(new, self.evaluate(new), strict=True))

    def __contains__(self, setting: Setting) -> bool:
        return setting in self.evaluated

    def __getitem__(self, setting: Setting) -> np.ndarray:
        return self.evaluated[setting]


def _line(space: _Space, setting: Setting, number: int) -> list[Setting]:
    """The settings that differ from one in one parameter, in the order of its candidates, itself included."""
    choices = range(len(space.parameters[number].candidates))
    return [(*setting[:number], choice, *setting[number + 1 :]) for choice in choices]


def _score(rows: _Rows, setting: Setting, metric: CompetitionMetric, images: np.ndarray) -> float:
    """Score over some of the images; NaN for a setting that a step refuses."""
    return float(metric.reduce(rows[setting][images])) if setting in rows else math.nan


def _descend(
    space: _Space, start: Setting, sweeps: int, rows: _Rows, metric: CompetitionMetric, images: np.ndarray
) -> Setting:
    """Coordinate descent on some of the images; never ends worse than it starts."""
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
            # among equals the present value; else the middle one, farthest from where the score falls off
            if present[number] not in best:
                present = line[best[len(best) // 2]]
        if present == before:
            break
    return present


def _same(one: object, other: object) -> bool:
    # 1 == True, but they are not one candidate
    return one == other and isinstance(one, bool) == isinstance(other, bool)
