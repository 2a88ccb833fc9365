"""What a study tries next: a grid, random values, or Optuna's tree of Parzen estimators."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.space import Axis, Choices, Range


class Tried(NamedTuple):
    """A trial as proposals see it: its values by key; its score, None while it runs; whether it failed."""

    values: Mapping[str, Any]
    score: float | None
    failed: bool = False


def grid_size(axes: Sequence[Axis]) -> int:
    """Number of points of the grid."""
    return int(np.prod([len(axis.domain.values()) for axis in axes], dtype=np.int64))


def grid(axes: Sequence[Axis], number: int) -> dict[str, Any]:
    """The point of a number, the last key changing fastest."""
    point = next(itertools.islice(itertools.product(*(axis.domain.values() for axis in axes)), number, None))
    return {axis.key: value for axis, value in zip(axes, point, strict=True)}


def random(axes: Sequence[Axis], number: int, seed: int) -> dict[str, Any]:
    """Independent values; they depend on the seed and the number alone, so a study that goes on repeats none.

    Random search finds good values in as many trials however many keys do not matter (Bergstra & Bengio 2012).
    """
    generator = np.random.default_rng([seed, number])
    return {axis.key: axis.domain.at(share) for axis, share in zip(axes, generator.random(len(axes)), strict=True)}


def tpe(axes: Sequence[Axis], tried: Sequence[Tried], seed: int, maximise: bool) -> dict[str, Any]:
    """Values where good trials lie denser than bad ones (Bergstra et al. 2011), by Optuna; its first ten are random.

    The study is built anew from what was tried, so that one that goes on proposes what it would have proposed.

    Args:
        axes: the space.
        tried: all trials so far, in their order; running ones count as bad, so that no two do the same.
        seed: of the study.
        maximise: whether a higher score is better.

    Raises:
        ImportError: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise ImportError('--method tpe needs Optuna: pip install -e ".[tune]"; grid and random need nothing') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed + len(tried), constant_liar=True)
    study = optuna.create_study(direction="maximize" if maximise else "minimize", sampler=sampler)
    distributions = {axis.key: _distribution(axis.domain, optuna.distributions) for axis in axes}
    states = optuna.trial.TrialState
    for trial in tried:
        state = states.FAIL if trial.failed else states.RUNNING if trial.score is None else states.COMPLETE
        values = {axis.key: _coded(axis.domain, trial.values[axis.key]) for axis in axes}
        value = trial.score if state == states.COMPLETE else None
        study.add_trial(optuna.create_trial(state=state, params=values, distributions=distributions, value=value))
    found = study.ask(distributions).params
    return {axis.key: _decoded(axis.domain, found[axis.key]) for axis in axes}


def _listed(domain: Range | Choices) -> bool:
    return isinstance(domain, Choices) or domain.points is not None


def _distribution(domain: Range | Choices, kinds: Any) -> Any:
    """Listed values by their place: Optuna takes no mappings, and the points of a range have an order."""
    if isinstance(domain, Choices):
        return kinds.CategoricalDistribution(range(len(domain.options)))
    if domain.points is not None:
        return kinds.IntDistribution(0, len(domain.values()) - 1)
    if domain.whole:
        return kinds.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)


def _coded(domain: Range | Choices, value: Any) -> Any:
    return domain.values().index(value) if _listed(domain) else value


def _decoded(domain: Range | Choices, value: Any) -> Any:
    return domain.values()[value] if _listed(domain) else value
