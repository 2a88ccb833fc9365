"""Next trial of a study: grid, random search, or Optuna's tree-structured Parzen estimator."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.search_space import Axis, Choices, Range


class Tried(NamedTuple):
    """Values of a trial by key; its score, None while running; whether it failed."""

    values: Mapping[str, Any]
    score: float | None
    failed: bool = False


def grid_size(axes: Sequence[Axis]) -> int:
    """Number of grid points."""
    return int(np.prod([len(axis.domain.values()) for axis in axes], dtype=np.int64))


def grid(axes: Sequence[Axis], number: int) -> dict[str, Any]:
    """Grid point of a given number, with the last key changing fastest."""
    point = next(itertools.islice(itertools.product(*(axis.domain.values() for axis in axes)), number, None))
    return {axis.key: value for axis, value in zip(axes, point, strict=True)}


def random(axes: Sequence[Axis], number: int, seed: int) -> dict[str, Any]:
    """Independent random values, determined by seed and trial number, so that a resumed study repeats none.

    The number of trials that random search needs does not grow with irrelevant keys (Bergstra & Bengio 2012).
    """
    generator = np.random.default_rng([seed, number])
    return {axis.key: axis.domain.at(share) for axis, share in zip(axes, generator.random(len(axes)), strict=True)}


def tpe(axes: Sequence[Axis], tried: Sequence[Tried], seed: int, maximise: bool) -> dict[str, Any]:
    """Values where good trials are denser than bad ones (Bergstra et al. 2011), by Optuna; the first ten are random.

    The Optuna study is rebuilt from earlier trials, so that a resumed study makes the same proposals.

    Args:
        axes: search space.
        tried: all trials so far, in order; running ones count as bad, so that no two are equal.
        seed: random seed of the study.
        maximise: whether a higher score is better.

    Raises:
        ImportError: if Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise ImportError(
            '--method tpe needs Optuna: pip install -e ".[tune]"; or use --method grid or random'
        ) from None
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
    """Listed values are coded by index: Optuna accepts no mappings, and the points of a range are ordered."""
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
