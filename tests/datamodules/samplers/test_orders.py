"""Samplers that weigh classes, positives and difficulty: shares, cycles, ranks."""

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules.samplers import (
    ClassAware,
    Curriculum,
    NonemptyBatches,
    PositiveRate,
    TrainingSampler,
    Weighted,
    positive_rate,
    sharded,
)

COUNTS = {"a": 160, "b": 30, "c": 9, "d": 1}


def classes():
    names = [name for name, count in COUNTS.items() for _ in range(count)]
    return pd.DataFrame({"image_id": [f"i{n}" for n in range(len(names))], "kind": names})


def masks(positive, empty):
    flags = np.r_[np.ones(positive, bool), np.zeros(empty, bool)]
    return pd.DataFrame({"image_id": [f"i{n}" for n in range(len(flags))], "positive": flags})


def drawn(order, table, batch_size=8, epoch=0, seed=0, repeats=1):
    order.prepare(table)
    sampler = TrainingSampler(len(table), repeats, seed, order, batch_size)
    sampler.set_epoch(epoch)
    found = np.array([draw.index for draw in sampler])
    assert len(found) == len(sampler)
    return found.reshape(-1, batch_size)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_weighted_shares_follow_alpha(alpha):
    table = classes()
    found = drawn(Weighted("kind", alpha), table, repeats=100)
    shares = pd.Series(table["kind"].to_numpy()[found.ravel()]).value_counts(normalize=True)
    expected = {name: count ** (1 - alpha) for name, count in COUNTS.items()}
    for name, value in expected.items():
        assert shares[name] == pytest.approx(value / sum(expected.values()), abs=0.015)


def test_spaces_around_a_class_do_not_count_and_values_that_are_none_are_named():
    table = pd.DataFrame({"image_id": list("wxyz"), "kind": ["0", "0", "0 ", "0 | 7|"], "flag": ["1", "0", "0,5", "1"]})
    order = Weighted("kind", separator="|")
    order.prepare(table)
    np.testing.assert_allclose(order.probabilities, np.array([1, 1, 1, 4]) / 7)
    with pytest.raises(ValueError, match="image 'x' has no 'kind'"):
        order.prepare(table.assign(kind=["0", " | ", "0", "0"]))
    for order in (PositiveRate(0.5, column="flag"), NonemptyBatches(column="flag")):
        with pytest.raises(ValueError, match="'flag' of image 'y' is '0,5', expected a number; numbers have a point"):
            order.prepare(table)


def test_an_image_of_several_classes_is_drawn_as_its_rarest():
    table = pd.DataFrame({"image_id": list("wxyz"), "kind": ["0", "0", "0", "0 7"]})
    order = Weighted("kind", separator=" ")
    order.prepare(table)
    np.testing.assert_allclose(order.probabilities, np.array([1, 1, 1, 4]) / 7)


def test_corrected_loss_has_the_gradient_of_drawing_all_alike():
    table, values = classes(), np.random.default_rng(0).normal(size=200)
    values[table["kind"] == "d"] += 3
    order = Weighted("kind", 1.0, correct_loss=True)
    found = drawn(order, table, repeats=3000).ravel()
    weights = order.weights()
    assert order.weights()[found].mean() == pytest.approx(1, abs=0.02)
    plain, corrected = values[found].mean(), (weights * values)[found].mean()
    assert abs(plain - values.mean()) > 0.1
    assert corrected == pytest.approx(values.mean(), abs=0.02)
    assert Weighted("kind").weights() is None


def test_class_aware_counts_are_equal_and_lists_cycle_over_epochs():
    table = classes()
    names, order = table["kind"].to_numpy(), ClassAware("kind")
    every = [drawn(order, table, 9, epoch).ravel() for epoch in range(40)]
    for found in every:
        counts = pd.Series(names[found]).value_counts()
        assert counts.max() - counts.min() <= 1
    total = pd.Series(names[np.concatenate(every)]).value_counts()
    assert total.max() - total.min() <= 1
    times = np.bincount(np.concatenate(every), minlength=len(table))
    for name in COUNTS:
        own = times[names == name]
        assert own.max() - own.min() <= 1  # none again before all others
    assert not np.array_equal(every[0], every[1])
    again = drawn(ClassAware("kind"), table, 9, 7).ravel()
    np.testing.assert_array_equal(again, every[7])  # resumed: no state but the epoch


@pytest.mark.parametrize("rate", [0.8, 0.6, 0.4, 0.22])
def test_every_positive_comes_once_at_a_fixed_rate(rate):
    table = masks(60, 500)
    found = drawn(PositiveRate(rate), table).ravel()
    assert len(found) == -(-round(60 / rate) // 8) * 8
    assert (np.bincount(found[found < 60], minlength=60) == 1).all()
    other = drawn(PositiveRate(rate), table, epoch=1).ravel()
    assert set(other[other >= 60]) != set(found[found >= 60])


def test_a_sliding_rate_is_linear():
    table, order = masks(200, 3000), PositiveRate([0.8, 0.2], epochs=7)
    shares = []
    for epoch in range(9):
        found = drawn(order, table, 10, epoch).ravel()
        assert len(found) == 1000
        shares.append((found < 200).mean())
        times = np.bincount(found[found < 200], minlength=200)
        assert times.min() >= 1
        assert times.max() - times.min() <= 1
    np.testing.assert_allclose(shares, [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2], atol=0.001)


@pytest.mark.parametrize(("positive", "empty"), [(30, 300), (5, 300), (300, 4)])
def test_no_batch_is_without_a_mask(positive, empty):
    table = masks(positive, empty)
    found = drawn(NonemptyBatches(), table)
    assert ((found < positive).sum(1) >= 1).all()
    assert len(found) == min((positive + empty) // 8, positive)
    assert len(np.unique(found)) == found.size  # each image at most once, as shuffled
    first = {int((batch < positive).argmax()) for batch in found}
    assert len(first) > 1 or positive > empty  # the mask has no place of its own in the batch


def test_curriculum_takes_the_easiest_first_and_all_in_the_end(tmp_path):
    table = classes()
    score = np.random.default_rng(0).permutation(len(table)) / len(table)
    path = tmp_path / "scores.csv"
    pd.DataFrame({"image_id": table["image_id"], "score": score, "loss": 1 - score}).to_csv(path, index=False)
    order = Curriculum(str(path))
    shares = [len(np.unique(drawn(order, table, epoch=epoch))) / len(table) for epoch in range(7)]
    expected = [min(1, 0.04 * 1.9**epoch) for epoch in range(7)]
    np.testing.assert_allclose(shares[:5], expected[:5], atol=0.01)
    assert len(np.unique(np.concatenate([drawn(order, table, epoch=epoch).ravel() for epoch in (6, 7)]))) == len(table)
    easiest = set(np.argsort(-score)[:8].tolist())
    assert set(drawn(order, table).ravel()) == easiest
    assert set(drawn(Curriculum(str(path), "loss", higher_is_easier=False), table).ravel()) == easiest
    assert set(drawn(Curriculum(str(path), anti=True), table).ravel()) == set(np.argsort(score)[:8].tolist())
    balanced = table["kind"].to_numpy()[drawn(Curriculum(str(path), start=0.1, balance="kind"), table).ravel()]
    assert set(balanced) == set(COUNTS)
    later = Curriculum(str(path), every=3)
    assert [later.share(epoch) for epoch in (0, 2, 3)] == pytest.approx([0.04, 0.04, 0.076])


ORDERS = [Weighted("kind"), ClassAware("kind"), PositiveRate(0.5), PositiveRate([0.6, 0.3], 4), NonemptyBatches()]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_two_ranks_share_the_epoch_and_a_seed_repeats_it(order, monkeypatch):
    table = classes().assign(positive=lambda rows: rows["kind"] != "a")
    one = drawn(order, table, 4, epoch=2, seed=5)
    np.testing.assert_array_equal(one, drawn(order, table, 4, epoch=2, seed=5))
    assert not np.array_equal(one, drawn(order, table, 4, epoch=3, seed=5))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(sharded, "rank_and_world", lambda rank=rank: (rank, 2))
        monkeypatch.setattr(positive_rate, "rank_and_world", lambda rank=rank: (rank, 2))
        sampler = TrainingSampler(len(table), 1, 5, order, 4)
        sampler.set_epoch(2)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler)
    assert len(parts[0]) == len(parts[1])
    seeds = [{draw.seed for draw in part} for part in parts]
    assert not seeds[0] & seeds[1]
    if isinstance(order, PositiveRate) and order.rate == 0.5:
        both = np.array([draw.index for part in parts for draw in part])
        positive = table["positive"].to_numpy()
        assert (np.bincount(both[positive[both]], minlength=200)[positive] == 1).all()


@pytest.mark.parametrize(
    ("make", "table", "message"),
    [
        (lambda: Weighted("kind", -1), None, "alpha is -1"),
        (lambda: PositiveRate(1.0), None, "rate is 1.0"),
        (lambda: PositiveRate([0.8, 0.4]), None, "set epochs for two rates"),
        (lambda: PositiveRate(0.5, epochs=3), None, "set epochs for two rates, not for one"),
        (lambda: Curriculum("s.csv", start=0), None, "start is 0"),
        (lambda: Curriculum("nowhere.csv"), classes(), "nowhere.csv does not exist"),
        (lambda: PositiveRate(0.5), masks(0, 5), "0 of 5 training images are positive"),
        (lambda: NonemptyBatches(), masks(0, 5), "none of 5 training images is positive"),
        (lambda: ClassAware("sort"), classes(), "no column 'sort'"),
        (lambda: Weighted("kind"), classes().assign(kind=[None, *"b" * 199]), "image 'i0' has no 'kind'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, table, message):
    with pytest.raises(ValueError, match=message):
        make().prepare(table)


def test_scores_that_lack_an_image_are_named(tmp_path):
    path = tmp_path / "s.csv"
    pd.DataFrame({"image_id": ["i0"], "score": [1.0]}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="no score for 199 of 200 training images; the first is 'i1'"):
        Curriculum(str(path)).prepare(classes())
    with pytest.raises(ValueError, match="expected image_id, loss"):
        Curriculum(str(path), "loss").prepare(classes())


def test_a_light_image_pulls_less_in_a_batch_of_its_own():
    """The loss of a batch is the mean of weight times loss, whatever the weights of the batch sum to."""
    from losses import LossFormula

    logits, truth = torch.randn(4, 1, 6, 6), (torch.rand(4, 1, 6, 6) > 0.5).to(torch.uint8)
    weight, formula = torch.tensor([0.5, 2.0, 0.0, 1.0]), LossFormula("bce")
    each = torch.stack([formula(one[None], other[None])[0] for one, other in zip(logits, truth, strict=True)])
    total = formula(logits, truth, weight)[0] * weight.mean()
    torch.testing.assert_close(total, (weight * each).mean())
