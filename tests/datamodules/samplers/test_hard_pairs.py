"""Pairs by linear assignment."""

import itertools

import numpy as np
import pytest
import torch

from datamodules.samplers import hard_pairs
from datamodules.samplers.hard_pairs import (
    HardPairSampler,
    derangement,
    fixed_pairs,
    hard_partners,
    matches,
)

RANDOM = np.random.default_rng(0)


def classes_of(count: int, kinds: int) -> np.ndarray:
    return np.random.default_rng(count).permutation(np.arange(count) % kinds)


def scores_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, count))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_derangements_leave_nothing_in_its_place(count):
    for _ in range(20):
        order = derangement(count, RANDOM)
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()


def test_derangements_are_all_as_likely():
    """Of four things there are nine."""
    random = np.random.default_rng(1)
    found = [tuple(derangement(4, random)) for _ in range(3600)]
    counts = np.array([found.count(each) for each in set(found)])
    assert len(counts) == 9
    assert (abs(counts - 400) < 5 * np.sqrt(400)).all()
    with pytest.raises(ValueError, match="count is 1, but a derangement needs 2"):
        derangement(1, random)


def test_matches_stay_in_their_class_and_use_each_image_once_a_side():
    classes = np.array(["b", "a", "a", "c", "b", "a", "b", "d", "d"])
    pairs = matches(classes, RANDOM)
    assert (classes[pairs[:, 0]] == classes[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    several = [0, 1, 2, 4, 5, 6, 7, 8]  # the only image of class c has none
    assert sorted(pairs[:, 0]) == sorted(pairs[:, 1]) == several


@pytest.mark.parametrize(("count", "kinds"), [(12, 3), (30, 2), (60, 20)])
def test_partners_are_strangers_and_differ(count, kinds):
    classes = classes_of(count, kinds)
    for noise in (0.0, 1.0, 1000.0):
        partners = hard_partners(scores_of(count), classes, noise, RANDOM)
        assert sorted(partners) == list(range(count))
        assert (classes[partners] != classes).all()


def test_the_assignment_is_the_best_there_is():
    classes, scores = np.array([0, 0, 1, 1, 2, 2]), scores_of(6)
    allowed = [p for p in itertools.permutations(range(6)) if (classes[list(p)] != classes).all()]
    best = max(allowed, key=lambda p: scores[np.arange(6), list(p)].sum())
    assert tuple(hard_partners(scores, classes, 0.0, RANDOM)) == best


def test_hard_pairs_score_above_random_ones_and_noise_makes_them_random():
    classes, scores = classes_of(60, 6), scores_of(60)

    def mean(noise):
        drawn = [hard_partners(scores, classes, noise, np.random.default_rng(seed)) for seed in range(20)]
        return np.mean([scores[np.arange(60), partners].mean() for partners in drawn])

    hard, softer, random = mean(0.0), mean(1.0), mean(1000.0)
    assert hard > 0.9
    assert hard > softer > random
    assert abs(random - 0.5) < 0.05


def test_used_pairs_do_not_come_again_in_either_order():
    classes, scores = classes_of(24, 4), scores_of(24)
    used = np.zeros((0, 24), int)
    for _ in range(4):
        used = np.vstack([used, hard_partners(scores, classes, 0.0, RANDOM, used)])
    sets = [{frozenset(pair) for pair in enumerate(partners)} for partners in used.tolist()]
    for one, other in itertools.combinations(sets, 2):
        assert not one & other


def test_when_pairs_run_out_it_says_so():
    used = np.array([[2, 3, 0, 1], [3, 2, 1, 0]])
    with pytest.raises(ValueError, match="4 images have no unused pairs of different classes after 2 epochs"):
        hard_partners(np.zeros((4, 4)), np.array([0, 0, 1, 1]), 0.0, RANDOM, used)


@pytest.mark.parametrize("classes", [np.zeros(4, int), np.array([0, 0, 0, 1]), np.array([], int)])
def test_too_large_classes_are_refused(classes):
    with pytest.raises(ValueError, match=r"pairs: .*no class may have more than half"):
        HardPairSampler(classes)


def draws(sampler: HardPairSampler, epoch: int) -> list:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_has_each_image_once_a_side_of_either_kind():
    classes = classes_of(20, 4)
    sampler = HardPairSampler(classes, seed=3)
    for epoch in range(3):
        epoch_draws = draws(sampler, epoch)
        assert len(epoch_draws) == len(sampler) == 40
        for same in (True, False):
            part = [draw for draw in epoch_draws if draw.same is same]
            assert sorted(draw.index for draw in part) == sorted(draw.other for draw in part) == list(range(20))
            assert all((classes[draw.index] == classes[draw.other]) == same for draw in part)
            assert all(draw.index != draw.other for draw in part)
    assert draws(sampler, 0) != draws(sampler, 1)
    assert draws(sampler, 1) == draws(HardPairSampler(classes, seed=3), 1)
    assert draws(sampler, 1) != draws(HardPairSampler(classes, seed=4), 1)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_what_one_process_draws(world, monkeypatch):
    sampler = HardPairSampler(classes_of(21, 4), seed=1)
    sampler.plan(scores_of(21), epoch=0, epochs=2, noise=0.1)
    whole, shares = draws(sampler, 1), []
    for rank in range(world):
        monkeypatch.setattr(hard_pairs, "rank_and_world", lambda rank=rank: (rank, world))
        shares.append(draws(sampler, 1))
    assert len({len(share) for share in shares}) == 1
    together = [draw for share in shares for draw in share]
    assert len(set(together)) == len(together) == len(whole) // world * world
    assert set(together) <= set(whole)


def test_a_plan_is_followed_and_survives_a_checkpoint(tmp_path):
    classes, scores = classes_of(20, 4), scores_of(20)
    sampler = HardPairSampler(classes, seed=2)
    sampler.plan(scores, epoch=5, epochs=3, noise=0.0)
    assert [sampler.is_planned(epoch) for epoch in (4, 5, 7, 8)] == [False, True, True, False]
    hardest = hard_partners(scores, classes, 0.0, RANDOM)
    strangers = {draw.index: draw.other for draw in draws(sampler, 5) if not draw.same}
    assert [strangers[image] for image in range(20)] == hardest.tolist()
    torch.save(sampler.state_dict(), tmp_path / "plan.pt")
    other = HardPairSampler(classes, seed=2)
    other.load_state_dict(torch.load(tmp_path / "plan.pt", weights_only=True))
    for epoch in range(5, 8):
        assert draws(other, epoch) == draws(sampler, epoch)
    with pytest.raises(ValueError, match="has pairs of 20 images, but there are 12 now"):
        HardPairSampler(classes_of(12, 3)).load_state_dict(sampler.state_dict())


def test_validation_pairs_are_fixed():
    classes = classes_of(15, 3)
    pairs, same = fixed_pairs(classes, seed=1)
    assert np.array_equal(pairs, fixed_pairs(classes, seed=1)[0])
    assert ((classes[pairs[:, 0]] == classes[pairs[:, 1]]) == same).all()
    assert same.sum() == 15
    # a fold may be lopsided: strangers then come more than once
    lopsided = np.array([0] * 7 + [1])
    pairs, same = fixed_pairs(lopsided, seed=1)
    assert ((lopsided[pairs[:, 0]] == lopsided[pairs[:, 1]]) == same).all()
    with pytest.raises(ValueError, match="3 images of 3 classes, and 0 pairs of one class"):
        fixed_pairs(np.arange(3), seed=0)
