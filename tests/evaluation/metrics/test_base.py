import numpy as np
import pytest
import torch

import evaluation
from evaluation import CompetitionMetric, DicePerImage, metrics


class Fork(CompetitionMetric):
    """A metric as forks have written them: the two functions, and a constructor that calls the base's."""

    higher_is_better = False

    def __init__(self, output: str = "mask") -> None:
        super().__init__()
        self.output = self.target = output

    def image(self, prediction, truth):
        return np.array([np.abs(prediction[self.output].astype(float) - truth[self.target]).sum()])

    def reduce(self, rows):
        return rows.mean()


def case(number):
    random = np.random.default_rng(number)
    return {"mask": random.random((1, 8, 8)) < 0.5}, {"mask": (random.random((1, 8, 8)) < 0.5).astype(np.uint8)}


def test_reset_and_repeats():
    metric = DicePerImage()
    metric.add("a", *case(0))
    metric.add("a", *case(1))
    assert len(metric.rows) == 1
    metric.reset()
    with pytest.raises(ValueError, match="no image"):
        metric.compute()


def test_arrays_and_tensors_give_one_number_of_type_float():
    predicted, true = (np.random.default_rng(seed).random((4, 1, 8, 8)) < 0.5 for seed in range(2))
    valid = np.random.default_rng(2).random((4, 8, 8)) < 0.9
    scores = []
    for convert in (np.asarray, list, torch.from_numpy, lambda batch: list(torch.from_numpy(batch))):
        metric = DicePerImage()
        metric.update(convert(predicted), convert(true), valid=convert(valid))
        scores.append(metric.compute())
    assert all(type(score) is float for score in scores)
    assert len(set(scores)) == 1


def test_a_forks_metric_counts_no_void_and_gives_a_float():
    metric, valid = Fork(), np.ones((8, 8), bool)
    valid[:4] = False
    prediction, truth = case(0)
    metric.add("a", prediction, truth | {"valid": valid})
    assert type(metric.compute()) is float
    assert metric.compute() == (prediction["mask"][:, 4:] != truth["mask"][:, 4:]).sum()


def test_every_metric_has_its_short_name():
    assert all(getattr(evaluation, name) is getattr(metrics, name) for name in metrics.__all__)
    assert set(evaluation.__all__) == set(metrics.__all__)


def test_a_metric_that_a_fork_has_not_listed_has_the_short_name_too(monkeypatch):
    monkeypatch.setattr(metrics, "Fork", Fork, raising=False)
    assert evaluation.Fork is Fork
    with pytest.raises(AttributeError, match="no attribute 'Unheard'"):
        evaluation.Unheard  # noqa: B018
