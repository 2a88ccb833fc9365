"""An epoch that is continued in its middle; with loaders: tests/datamodules/test_base.py."""

import numpy as np
import pytest

from datamodules.samplers import TrainingSampler
from datamodules.samplers.hard_pairs import HardPairSampler


def shuffled():
    return TrainingSampler(10, repeats=2, seed=3)


def pairs():
    return HardPairSampler(np.arange(10) % 5, seed=3)


@pytest.mark.parametrize("make", [shuffled, pairs])
def test_draws_of_one_epoch_are_left_out_once_it_is_drawn_again(make):
    whole = {}
    for epoch in range(3):
        sampler = make()
        sampler.set_epoch(epoch)
        whole[epoch] = list(sampler)
    resumed = make()
    resumed.leave_out(1, 7)
    for epoch in range(3):
        resumed.set_epoch(epoch)
        assert list(resumed) == whole[epoch][7 if epoch == 1 else 0 :]
        assert len(resumed) == len(whole[epoch]), "the length of an epoch does not change"
    assert len({tuple(draws) for draws in whole.values()}) == 3
