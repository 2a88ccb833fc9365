"""Several samples of a class in every batch."""

import numpy as np
import pandas as pd
import pytest

from datamodules.samplers import SamplesPerClass, TrainingSampler, sharded


def table(counts):
    names = [name for name, count in counts.items() for _ in range(count)]
    return pd.DataFrame({"image_id": range(len(names)), "whale": names})


def sampler(counts, samples=4, batch_size=16, **more):
    order = SamplesPerClass("whale", samples)
    order.prepare(table(counts))
    return TrainingSampler(sum(counts.values()), order=order, batch_size=batch_size, **more)


def batches(found, size=16):
    return np.array([draw.index for draw in found]).reshape(-1, size)


COUNTS = {"a": 40, "b": 9, "c": 4, "d": 1, "e": 17, "f": 3}


def test_every_batch_has_groups_of_different_classes():
    names = table(COUNTS)["whale"].to_numpy()
    found = sampler(COUNTS)
    drawn = batches(found)
    assert drawn.size == len(found)
    for batch in drawn:
        groups = names[batch].reshape(-1, 4)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) >= 3  # the last ones may run out of classes
    counts = np.bincount(drawn.ravel(), minlength=sum(COUNTS.values()))
    assert (counts > 0).mean() > 0.75  # a frequent class does not fit, an epoch is not stretched for it
    big = sampler({name: 12 for name in "abcdefgh"})
    assert (np.bincount(batches(big).ravel()) == 1).all()  # where groups come out even, each image comes once


def test_seed_epoch_and_augmentation_seeds():
    one, again = sampler(COUNTS, seed=3), sampler(COUNTS, seed=3)
    assert list(one) == list(again)
    again.set_epoch(1)
    assert list(one) != list(again)
    assert len({draw.seed for draw in one}) == len(one)


def test_ranks_have_whole_batches_of_their_own(monkeypatch):
    whole = batches(sampler(COUNTS))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(sharded, "rank_and_world", lambda rank=rank: (rank, 2))
        part = sampler(COUNTS)
        parts.append(batches(part))
        assert parts[-1].size == len(part)
    assert len(parts[0]) == len(parts[1])
    rows = {tuple(batch) for batch in whole}
    assert {tuple(batch) for part in parts for batch in part} <= rows
    assert not {tuple(batch) for batch in parts[0]} & {tuple(batch) for batch in parts[1]}


def test_bad_input():
    with pytest.raises(ValueError, match="batch_size is 10, expected a multiple of samples"):
        list(sampler(COUNTS, batch_size=10))
    with pytest.raises(ValueError, match="no column 'species'"):
        SamplesPerClass("species").prepare(table(COUNTS))
    with pytest.raises(ValueError, match="has 1 class, expected 2 or more"):
        SamplesPerClass("whale").prepare(table({"a": 5}))
    with pytest.raises(ValueError, match="samples is 1"):
        SamplesPerClass("whale", 1)
