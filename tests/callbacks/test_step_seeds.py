"""Global generators of a step depend on run, epoch, batch and rank, and on nothing drawn before."""

import itertools
import random
from types import SimpleNamespace

import numpy as np
import torch

from callbacks import StepSeeds


def drawn(epoch, batch, rank=0):
    StepSeeds().on_train_batch_start(SimpleNamespace(current_epoch=epoch, global_rank=rank), None, None, batch)
    return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002


def test_every_step_draws_anew_and_repeats(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    places = list(itertools.product(range(3), range(3), range(2)))
    first = {place: drawn(*place) for place in places}
    torch.rand(5), np.random.random(3), random.random()  # noqa: NPY002
    assert {place: drawn(*place) for place in reversed(places)} == first
    for values in zip(*first.values(), strict=True):
        assert len(set(values)) == len(places)
    monkeypatch.setenv("PL_GLOBAL_SEED", "8")
    assert not set(drawn(0, 0)) & set(first[0, 0, 0])


def test_dropout_is_that_of_its_step():
    dropout, ones = torch.nn.Dropout(0.5), torch.ones(1000)
    drawn(1, 2)
    one = dropout(ones)
    drawn(1, 3)
    other = dropout(ones)
    drawn(1, 2)
    assert torch.equal(dropout(ones), one)
    assert not torch.equal(one, other)
